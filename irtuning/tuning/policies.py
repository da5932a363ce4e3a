"""Policies: at each step, which units (layers, as a rule) train. They remember scores; they know neither models nor devices.

A policy is asked `probes()` and `choose()` before the forward pass and told `observe(scores)` after the backward pass. This
file holds the simple ones and what all share; the paper's rule with its options is in `variance.py`, IST in `ist.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from irtuning.events import SplitRound
from irtuning.tuning.selection import Metric, top_k

UNMEASURED = 1000.0
"""Score of a unit that was never measured, and norm that stands for one that is not finite (the reference's constant)."""


@dataclass(frozen=True)
class Stack:
    """What a policy may know of a model: its units in ascending depth.

    Attributes:
        depth: the layer of each unit, from 0, shape (units,). layers: how many layers there are.
        parameters: adapter weights in each unit. weight_norms: gives the L2 norm of the frozen weights of each unit.
        steps: of the whole run, 0 where nobody knows. seed: of the training, for a policy that was given none of its own.
    """

    depth: tuple[int, ...]
    layers: int
    parameters: tuple[int, ...]
    weight_norms: Callable[[], tuple[float, ...]]
    steps: int = 0
    seed: int | None = None

    @property
    def units(self) -> int:
        """How many there are to choose from."""
        return len(self.depth)

    @classmethod
    def plain(cls, layers: int) -> Stack:
        """Whole layers, all alike."""
        return cls(tuple(range(layers)), layers, (1,) * layers, lambda: (1.0,) * layers)


@dataclass(frozen=True)
class Choice:
    """Units that train in one step, ascending; with the split that led to them where one did."""

    layers: tuple[int, ...]
    split: tuple[SplitRound, ...] | None = None


class Policy(ABC):
    """Which units train, step by step.

    Attributes:
        tries: `probes` may give sets, so that a batch has to be at hand before each step.
    """

    tries = False

    @abstractmethod
    def choose(self) -> Choice:
        """The units of the step that begins."""

    def observe(self, scores: Sequence[float | None]) -> None:  # noqa: B027 - a policy that ranks nothing needs no scores
        """Takes the scores measured in the step that ends; None: not measured."""

    def probes(self) -> list[tuple[int, ...]]:
        """Sets of units whose adapters are to be damped, one set after the other, to see the loss; most policies want none."""
        return []

    def reward(self, losses: Sequence[float]) -> None:  # noqa: B027 - only one that probes is ever told
        """Takes the loss under each of the sets that `probes` gave."""

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on later, as plain JSON values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - without a state there is nothing to load
        """Goes on from a state that `state_dict` gave."""


class FixedPolicy(Policy):
    """The same units at every step."""

    def __init__(self, units: Sequence[int]) -> None:
        self._choice = Choice(tuple(sorted(set(units))))

    def choose(self) -> Choice:
        """Those of the start."""
        return self._choice


class FullPolicy(FixedPolicy):
    """Every unit trains at every step."""

    def __init__(self, units: int) -> None:
        super().__init__(range(units))


class DrawnPolicy(Policy):
    """A random set of units, drawn anew after `interval` steps: 1 is the paper's RST, more is LISA (Pan et al., 2024)."""

    def __init__(self, units: int, *, count: int, interval: int = 1, seed: int = 171) -> None:
        self._units, self._count, self._interval = units, min(count, units), interval
        self._random = np.random.default_rng(seed)
        self._step = 0
        self._drawn: tuple[int, ...] = ()

    def choose(self) -> Choice:
        """The set of this interval."""
        if self._step % self._interval == 0:
            self._drawn = draw(self._random, self._units, self._count)
        self._step += 1
        return Choice(self._drawn)

    def state_dict(self) -> dict[str, Any]:
        """Steps so far, the set in use, and the random generator."""
        return {"step": self._step, "drawn": list(self._drawn), "random": self._random.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        self._step, self._drawn = int(state["step"]), tuple(state["drawn"])
        self._random.bit_generator.state = state["random"]


class ScoredPolicy(Policy):
    """Remembers the last score of each unit; units never measured count as 1000, and are ranked at random while all are so."""

    def __init__(self, units: int, *, seed: int = 171) -> None:
        self.scores = np.full(units, UNMEASURED)
        self._random = np.random.default_rng(seed)

    def observe(self, scores: Sequence[float | None]) -> None:
        """Keeps the last score of each unit."""
        for unit, value in enumerate(scores):
            if value is not None:
                self.scores[unit] = value

    def ranked(self) -> np.ndarray:
        """What to rank by in this step: the scores as they stand, or random numbers."""
        fresh = bool((self.scores == UNMEASURED).all())
        return self._random.random(len(self.scores)) if fresh else self.scores

    def state_dict(self) -> dict[str, Any]:
        """Scores and the random generator."""
        return {"scores": self.scores.tolist(), "random": self._random.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        self.scores = np.asarray(state["scores"], dtype=np.float64)
        self._random.bit_generator.state = state["random"]


class TopKPolicy(ScoredPolicy):
    """The `count` units of the highest scores (cosine: the lowest)."""

    def __init__(self, units: int, *, count: int, metric: Metric = "gradient", seed: int = 171) -> None:
        super().__init__(units, seed=seed)
        self._count, self._metric = min(count, units), metric

    def choose(self) -> Choice:
        """The best as scores stand."""
        return Choice(top_k(self.ranked(), self._count, metric=self._metric))


def draw(
    random: np.random.Generator, units: int, count: int, weights: np.ndarray | None = None
) -> tuple[int, ...]:
    """`count` distinct units at random, ascending; `weights`: how likely each is to come next, shape (units,)."""
    p = None if weights is None else weights / weights.sum()
    return tuple(sorted(int(u) for u in random.choice(units, size=count, replace=False, p=p)))


def share_of(units: int, share: float) -> int:
    """That share of the units, rounded down, but at least one."""
    return max(1, int(share * units))
