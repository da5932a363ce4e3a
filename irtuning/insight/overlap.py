"""Overlap of selections: how alike two choices of layers are, one step's or a whole run's. Pure; knows neither runs nor models.

A selection is what a step trained, as in the events `step`: indices of layers (or of their parts), counted from 0. 1 means the same
choice, 0 none in common. Where all layers train every step all overlaps are 1, which says nothing about what matters.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np

Selection = Collection[int]


def jaccard(one: Selection, other: Selection) -> float:
    """Layers in both selections divided by layers in either, 0 to 1; two empty ones are the same: 1."""
    first, second = set(one), set(other)
    either = first | second
    return len(first & second) / len(either) if either else 1.0


def successive(selections: Sequence[Selection]) -> float | None:
    """Mean Jaccard of each step's selection with the next one's; None with fewer than two steps."""
    return _mean([jaccard(one, other) for one, other in pairwise(selections)])


def stepwise(one: Sequence[Selection], other: Sequence[Selection]) -> float | None:
    """Mean Jaccard of two runs' selections in the same step, over the steps that both made; None where there is none."""
    return _mean([jaccard(a, b) for a, b in zip(one, other, strict=False)])


def frequencies(selections: Sequence[Selection], layers: int) -> np.ndarray:
    """Share of the steps in which each layer was chosen, 0 to 1, shape (layers,); zeros without a step.

    Raises:
        ValueError: a selection holds a layer that the model has not.
    """
    counts = np.zeros(layers)
    for selection in selections:
        chosen = sorted(set(selection))
        if chosen and not 0 <= chosen[0] <= chosen[-1] < layers:
            raise ValueError(f"layers {chosen[0]} to {chosen[-1]} of a model of {layers}")
        counts[chosen] += 1
    return counts / max(1, len(selections))


def weighted_jaccard(one: np.ndarray | Sequence[float], other: np.ndarray | Sequence[float]) -> float:
    """Sum of minima divided by sum of maxima of two weights a layer, none negative; 0 to 1, two of zeros alone: 1.

    Raises:
        ValueError: the numbers of layers differ.
    """
    first, second = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"weights of {first.size} and of {second.size} layers")
    most = float(np.maximum(first, second).sum())
    return float(np.minimum(first, second).sum()) / most if most else 1.0


def by_layer(selections: Sequence[Selection], owners: Sequence[int]) -> list[tuple[int, ...]]:
    """Selections of parts of layers as selections of layers: a layer counts as chosen where one of its parts is.

    Args:
        owners: the layer that each part belongs to, shape (parts,).
    """
    return [tuple(sorted({owners[part] for part in selection})) for selection in selections]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
