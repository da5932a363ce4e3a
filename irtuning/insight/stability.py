"""Stability: what several runs of one setting, which differ in their seed alone, agree on. Pure; knows neither files nor models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from irtuning.errors import RunError
from irtuning.insight.overlap import Selection, frequencies, stepwise, weighted_jaccard

CONFIDENCE = 0.9
"""Of the intervals."""
METRICS = ("macro_f1", "weighted_f1")


@dataclass(frozen=True)
class Repeat:
    """One run of the setting.

    Attributes:
        run: its name, for messages. layers: how many it chooses from. selections: what each step trained, from 0.
        metrics: its closing figures by name; a missing one is left out of the mean.
    """

    run: str
    layers: int
    selections: Sequence[Selection]
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Interval:
    """A mean over runs with the interval of 90 % by Student's t; low and high are None for a single run.

    Attributes:
        spread: sample standard deviation, None for a single run. runs: how many have this figure.
    """

    mean: float
    low: float | None
    high: float | None
    spread: float | None
    runs: int


@dataclass(frozen=True)
class Stability:
    """What runs of one setting agree on.

    Attributes:
        runs: their names. layers: how many they choose from.
        share_mean, share_spread: share of steps in which each layer was chosen, its mean over the runs and its sample standard
            deviation; shape (layers,).
        stepwise: mean over all pairs of runs of their mean Jaccard step by step, None where a run made no step.
        frequency: mean over all pairs of the weighted Jaccard of how often each layer was chosen.
        metrics: a figure's name -> its interval; without those that no run has.
    """

    runs: tuple[str, ...]
    layers: int
    share_mean: tuple[float, ...]
    share_spread: tuple[float, ...]
    stepwise: float | None
    frequency: float
    metrics: dict[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return asdict(self)


def stability(repeats: Sequence[Repeat], metrics: Sequence[str] = METRICS) -> Stability:
    """What runs of one setting agree on.

    Raises:
        RunError: there are fewer than two, or they choose from different numbers of layers.
    """
    if len(repeats) < 2:
        raise RunError("Stability needs two runs at least.", "Train the same setting with another seed.")
    first = repeats[0]
    for other in repeats[1:]:
        if other.layers != first.layers:
            raise RunError(
                f"The runs {first.run!r} and {other.run!r} cannot be compared: one chooses from {first.layers} layers, "
                f"the other from {other.layers}.",
                "Choose runs of the same model and the same unit of selection.",
            )
    shares = np.array([frequencies(repeat.selections, repeat.layers) for repeat in repeats])
    pairs = list(combinations(range(len(repeats)), 2))
    steps = [stepwise(repeats[a].selections, repeats[b].selections) for a, b in pairs]
    found = {name: [float(r.metrics[name]) for r in repeats if r.metrics.get(name) is not None] for name in metrics}
    return Stability(
        runs=tuple(repeat.run for repeat in repeats),
        layers=first.layers,
        share_mean=tuple(shares.mean(axis=0).tolist()),
        share_spread=tuple(shares.std(axis=0, ddof=1).tolist()),
        stepwise=None if None in steps else float(np.mean(steps)),
        frequency=float(np.mean([weighted_jaccard(shares[a], shares[b]) for a, b in pairs])),
        metrics={name: interval(values) for name, values in found.items() if values},
    )


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean of one or more values with the interval that Student's t gives for the mean of all possible runs.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no values")
    mean = sum(values) / len(values)
    if len(values) == 1:
        return Interval(mean, None, None, None, 1)
    from scipy.stats import t

    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    half = float(t.ppf(0.5 + confidence / 2, len(values) - 1)) * spread / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half, spread, len(values))
