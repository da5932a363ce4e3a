"""A run's heatmap a few pixels high: one pixel a column of steps and row of layers, as an indexed PNG. Pure; no plotly.

The same reading as the large picture: trained vivid, frozen quiet, never measured empty; input at the bottom.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from irtuning.figures.theme import Theme
from irtuning.insight.columns import Columns

MOST_COLUMNS = 96
SHADES = 12
"""Steps of each ramp."""


def thumbnail(columns: Columns, theme: Theme, *, metric: str = "gradient") -> bytes:
    """A PNG of C x L pixels for a run's merged columns; empty bytes where the run has no step.

    Colour is the score relative to its column's median, from the 5th to the 95th percentile of the whole run.

    Args:
        metric: what a score is; of `cosine` the lowest is the most important one.
    """
    indices = _shades(columns, low_matters=metric == "cosine")
    if not indices.size:
        return b""
    palette = [theme.card, *_ramp(theme.frozen), *_ramp(theme.ramp)]
    return _png(indices.T[::-1], palette)


def _shades(columns: Columns, *, low_matters: bool) -> np.ndarray:
    """Palette index of each cell, shape (C, L): 0 never measured, then the frozen ramp, then the trained one."""
    ratios = _carried(columns.ratios)
    known = ratios[~np.isnan(ratios)]
    if not known.size:
        return np.zeros(ratios.shape, dtype=np.uint8)
    low, high = np.percentile(known, [5, 95])
    part = np.clip((ratios - low) / max(high - low, 1e-12), 0, 1)
    part = 1 - part if low_matters else part
    shade = np.nan_to_num(np.rint(part * (SHADES - 1)), nan=0).astype(np.uint8)
    mostly_trained = columns.trained * 2 >= np.diff(columns.edges)[:, None]
    index = 1 + shade + np.where(mostly_trained, SHADES, 0)
    return np.where(np.isnan(ratios), 0, index).astype(np.uint8)


def _carried(values: np.ndarray) -> np.ndarray:
    """Each layer's last known value carried over the columns where it was not measured, shape (C, L)."""
    if not values.size:
        return values
    rows = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    last = np.maximum.accumulate(rows, axis=0)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=0), np.nan)


def _ramp(colours: tuple[str, ...]) -> list[str]:
    stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours])
    at = np.linspace(0, len(stops) - 1, SHADES)
    mixed = np.stack([np.interp(at, np.arange(len(stops)), stops[:, i]) for i in range(3)], axis=1)
    return ["#" + "".join(f"{round(part):02x}" for part in colour) for colour in mixed]


def _png(indices: np.ndarray, palette: list[str]) -> bytes:
    """An indexed PNG, 8 bits a pixel; indices (height, width)."""
    height, width = indices.shape
    rows = np.hstack([np.zeros((height, 1), dtype=np.uint8), indices.astype(np.uint8)])
    colours = bytes.fromhex("".join(colour.lstrip("#") for colour in palette))
    return b"\x89PNG\r\n\x1a\n" + b"".join((
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        _chunk(b"PLTE", colours),
        _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
        _chunk(b"IEND", b""),
    ))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
