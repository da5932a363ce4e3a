"""Columns: a run's steps merged side by side until they fit a picture. Pure numpy.

One rule for every reader: columns hold 1, 2, 4, … steps each, the smallest power of two with which the picture fits. Sums are kept,
so two columns merge into one by adding, whoever does it. A merged column's relative norm is its mean norm divided by
the mean of its steps' medians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irtuning.insight.history import RunHistory

MOST_COLUMNS = 360
MOST_CELLS = 24_000


@dataclass(frozen=True)
class Columns:
    """C columns of L layers.

    Attributes:
        width: steps a full column holds; the last one may hold fewer.
        edges: first step of each column and one past the last step, shape (C + 1,).
        norms: mean of the scores measured in the column, NaN where none was; shape (C, L).
        measured, trained, moved: in how many steps of the column; shape (C, L), int.
        medians: mean of the steps' medians, NaN where nothing was measured; shape (C,).
        losses: mean loss, NaN where there is none; shape (C,).
        counts: layers trained a step, mean; shape (C,).
    """

    width: int
    edges: np.ndarray
    norms: np.ndarray
    measured: np.ndarray
    trained: np.ndarray
    moved: np.ndarray
    medians: np.ndarray
    losses: np.ndarray
    counts: np.ndarray

    @property
    def ratios(self) -> np.ndarray:
        """Norms divided by their column's median, NaN where not measured; shape (C, L)."""
        return self.norms / self.medians[:, None]


def column_width(steps: int, layers: int, most_columns: int = MOST_COLUMNS, most_cells: int = MOST_CELLS) -> int:
    """Steps a column: the least power of two with which the picture fits."""
    room = max(2, min(most_columns, most_cells // max(layers, 1)))
    width = 1
    while -(-steps // width) > room:
        width *= 2
    return width


def merge_columns(history: RunHistory, most_columns: int = MOST_COLUMNS) -> Columns:
    """All steps of a run so far as columns that fit."""
    steps = len(history)
    width = column_width(steps, history.layers, most_columns)
    starts = np.arange(0, steps, width)
    there = ~np.isnan(history.scores)
    first = int(history.steps[0]) if steps else 1
    measured = _sums(there, starts)
    norms = _means(history.scores, starts)
    return Columns(
        width=width,
        edges=first + np.append(starts, steps),
        norms=norms,
        measured=measured,
        trained=_sums(history.selected, starts),
        moved=_sums(history.moved, starts),
        medians=_means(history.medians, starts),
        losses=_means(history.losses, starts),
        counts=_means(history.selected.sum(axis=1).astype(float), starts),
    )


def _sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    if not len(starts):
        return np.zeros((0, *values.shape[1:]), dtype=int)
    return np.add.reduceat(values.astype(int), starts, axis=0)


def _means(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Means over each column's numbers, NaN where it has none."""
    if not len(starts):
        return np.zeros((0, *values.shape[1:]))
    there = ~np.isnan(values)
    counts = np.add.reduceat(there.astype(int), starts, axis=0)
    sums = np.add.reduceat(np.where(there, values, 0.0), starts, axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
