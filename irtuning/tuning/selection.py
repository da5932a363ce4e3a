"""Scores in, layers out: the variance split of IR-Tuning, pure and with numpy alone.

Knows no model, no training and no history: carrying old scores over, the initial 1000 and the random first step are the policy's.
Source: Liu & Litman, Findings of EMNLP 2025, and the decisions of its reference implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Metric = Literal["gradient", "cosine", "weight"]
Boundary = Literal["reference", "exact"]

WINDOW = (0.35, 0.65)
"""The split may only fall between these fractions of the layers."""


@dataclass(frozen=True)
class Round:
    """One variance split.

    Attributes:
        order: layers by ascending score, ties by index; length n.
        ranked: their scores in that order; length n.
        curve: curve[i] is the variance left by splitting into i+1 low and n-i-1 high layers; length n-1.
        window: first and last index of the curve that may be chosen, both included; None where there is none.
        minimum: index of the least variance in the window, the first in the whole curve that equals it.
        rank: layers ranked `rank` and above are the high side.
        low_variance, high_variance: population variances of the two sides at `minimum`.
        layers: what this round keeps, ascending.
    """

    order: tuple[int, ...]
    ranked: tuple[float, ...]
    curve: tuple[float, ...]
    window: tuple[int, int] | None
    minimum: int | None
    rank: int | None
    low_variance: float | None
    high_variance: float | None
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Selection:
    """Chosen layers (ascending) and the rounds that led to them; the last round's figures under their own names."""

    layers: tuple[int, ...]
    rounds: tuple[Round, ...]

    @property
    def rank(self) -> int | None:
        """Rank of the split in the last round."""
        return self.rounds[-1].rank if self.rounds else None

    @property
    def threshold(self) -> float | None:
        """Score of the layer at the split's rank in the last round."""
        last = self.rounds[-1] if self.rounds else None
        return last.ranked[last.rank] if last and last.rank is not None and last.rank < len(last.ranked) else None

    @property
    def low_variance(self) -> float | None:
        """Variance of the lower side in the last round."""
        return self.rounds[-1].low_variance if self.rounds else None

    @property
    def high_variance(self) -> float | None:
        """Variance of the upper side in the last round."""
        return self.rounds[-1].high_variance if self.rounds else None

    @property
    def curve(self) -> tuple[float, ...]:
        """The whole variance curve of the last round."""
        return self.rounds[-1].curve if self.rounds else ()


def select_layers(
    scores: Sequence[float], *, metric: Metric = "gradient", splits: int = 1, boundary: Boundary = "reference"
) -> Selection:
    """The layers that train, from one score a layer.

    Args:
        scores: one finite number a layer, shape (layers,).
        metric: gradient and weight keep the high side, cosine the low one; each has its own window.
        splits: how many times the kept side is split again, at least 1.
        boundary: `reference` keeps the code's off-by-one (the high side takes one layer more than the minimum, cosine's
            low side one fewer); `exact` splits at the minimum itself.

    Raises:
        ValueError: scores are not finite, or `splits` is below 1.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("scores must be one finite number a layer")
    if splits < 1:
        raise ValueError("splits must be at least 1")
    layers = tuple(range(len(values)))
    rounds = []
    for _ in range(splits):
        if not layers:
            break
        rounds.append(_split(values, layers, metric, boundary))
        layers = rounds[-1].layers
    return Selection(layers, tuple(rounds))


def top_k(scores: Sequence[float], count: int, *, metric: Metric = "gradient") -> tuple[int, ...]:
    """The `count` layers of the highest scores (cosine: the lowest), ascending; of equal scores the split's side wins.

    Args:
        scores: one finite number a layer, shape (layers,).
    """
    order = sorted(range(len(scores)), key=lambda layer: (scores[layer], layer))
    return tuple(sorted(order[:count] if metric == "cosine" else order[len(order) - count :]))


def _split(values: np.ndarray, layers: tuple[int, ...], metric: Metric, boundary: Boundary) -> Round:
    order = tuple(sorted(layers, key=lambda layer: (values[layer], layer)))
    ranked = values[list(order)]
    n = len(order)
    # numpy.var itself, not a running formula: ties are decided by exact equality.
    curve = [float(np.var(ranked[:k]) + np.var(ranked[k:])) for k in range(1, n)]
    low, high = int(WINDOW[0] * n), int(WINDOW[1] * n)
    first = low + 1 if metric == "weight" else low
    last = high - 1 if metric == "cosine" else high
    last = min(last, n - 2)
    shared = {"order": order, "ranked": tuple(ranked.tolist()), "curve": tuple(curve)}
    if first > last:
        return Round(
            **shared,
            window=None,
            minimum=None,
            rank=None,
            low_variance=None,
            high_variance=None,
            layers=tuple(sorted(layers)),
        )
    minimum = curve.index(min(curve[first : last + 1]))
    rank = minimum if boundary == "reference" else minimum + 1
    kept = order[:rank] if metric == "cosine" else order[rank:]
    return Round(
        **shared,
        window=(first, last),
        minimum=minimum,
        rank=rank,
        low_variance=float(np.var(ranked[: minimum + 1])),
        high_variance=float(np.var(ranked[minimum + 1 :])),
        layers=tuple(sorted(kept)),
    )
