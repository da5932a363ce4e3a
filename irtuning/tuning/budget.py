"""Selection that knows what a step costs: the most importance within a share of a full step's time. Pure numbers.

A step costs its forward pass, the backward pass down to its lowest trained unit, and a little for each adapter that trains.
So low units are dear: they train in the whole steps that come round, and the steps between stay above a cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from irtuning.combinations import WHOLE_EVERY
from irtuning.tuning.policies import Choice, ScoredPolicy


@dataclass(frozen=True)
class StepCost:
    """What a step costs, as a share of one in which all units train.

    Attributes:
        depth: the layer of each unit, from 0, ascending. layers: how many there are.
        forward, backward, adapters: of one layer, in any common unit. The defaults were measured on SmolLM2-135M in bfloat16
            on a CPU core.
        cached: layers below the lowest that trains cost nothing: what comes out of them is kept.
    """

    depth: tuple[int, ...]
    layers: int
    forward: float = 1.0
    backward: float = 1.1
    adapters: float = 0.11
    cached: bool = False

    def of(self, units: Sequence[int]) -> float:
        """Share of a full step's time in which these units train."""
        lowest = min((self.depth[u] for u in units), default=self.layers)
        return (self._passes(lowest) + len(units) * self._unit) / self.whole

    @property
    def whole(self) -> float:
        """A full step, in the common unit."""
        return self.layers * (self.forward + self.backward + self.adapters)

    @property
    def _unit(self) -> float:
        return self.adapters * self.layers / len(self.depth)

    def affordable(self, lowest: int, allowance: float) -> int:
        """How many units at or above layer `lowest` fit into that share of a full step; negative: not even the backward pass."""
        return int(np.floor((allowance * self.whole - self._passes(lowest)) / self._unit + 1e-9))

    def _passes(self, lowest: int) -> float:
        above = self.layers - lowest
        return (above if self.cached else self.layers) * self.forward + above * self.backward


def least_share(cost: StepCost, whole_every: int | None = None) -> float:
    """The least share of a full step's time that a step can take on average: the last unit alone between the whole steps.

    Args:
        whole_every: steps from one whole step to the next; None: there are none.
    """
    alone = cost.of((len(cost.depth) - 1,))
    return alone if whole_every is None else (1 + (whole_every - 1) * alone) / whole_every


def best_within(scores: Sequence[float], cost: StepCost, allowance: float) -> tuple[int, ...]:
    """The units of the highest total score whose step stays within `allowance`, ascending; at least the last unit.

    For each cut the highest scores above it are taken while they fit; the best cut wins, the lowest one of equals.
    """
    best: tuple[float, tuple[int, ...]] = (-1.0, (len(scores) - 1,))
    for lowest in range(cost.layers):
        count = cost.affordable(lowest, allowance)
        above = [u for u in range(len(scores)) if cost.depth[u] >= lowest]
        if count < 1 or not above:
            continue
        chosen = sorted(above, key=lambda u: (-scores[u], u))[:count]
        value = float(sum(scores[u] for u in chosen))
        if value > best[0]:
            best = (value, tuple(sorted(chosen)))
    return best[1]


class BudgetPolicy(ScoredPolicy):
    """All units train in every `whole_every`-th step, from the first; the steps between share what that leaves of the budget.

    Args:
        share: of a full step's time that a step may take on average, above 0, at most 1.
    """

    def __init__(self, cost: StepCost, *, share: float, whole_every: int = WHOLE_EVERY, seed: int = 171) -> None:
        super().__init__(len(cost.depth), seed=seed)
        self._cost, self._share, self._every = cost, share, whole_every
        self._step, self._spent = 0, 0.0

    def choose(self) -> Choice:
        """All units, or the best that the budget leaves."""
        place = self._step % self._every
        units = tuple(range(len(self.scores)))
        if place:
            # Until the next whole step: what the budget allows by then, less what was spent.
            ahead = self._every - place
            allowance = (self._share * (self._step + ahead) - self._spent) / ahead
            units = best_within(self.scores, self._cost, allowance)
        self._step += 1
        self._spent += self._cost.of(units)
        return Choice(units)

    def state_dict(self) -> dict[str, Any]:
        """Scores, random generator, steps and time spent."""
        return {**super().state_dict(), "step": self._step, "spent": self._spent}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        super().load_state_dict(state)
        self._step, self._spent = int(state["step"]), float(state["spent"])


class SettledPolicy(ScoredPolicy):
    """All units train in the first `steps` steps; then the best within the budget, by their mean scores so far, stay chosen.

    Low layers thus learn while the rate is high and rest for good afterwards, so that what comes out of them can be kept.

    Args:
        share: of a full step's time that a later step may take, above 0, at most 1.
    """

    def __init__(self, cost: StepCost, *, share: float, steps: int, seed: int = 171) -> None:
        super().__init__(len(cost.depth), seed=seed)
        self._cost, self._share, self._steps = cost, share, max(1, steps)
        self._step = 0
        self._sums = np.zeros(len(cost.depth))

    def choose(self) -> Choice:
        """All units, or those that were settled on."""
        self._step += 1
        if self._step <= self._steps:
            return Choice(tuple(range(len(self.scores))))
        return Choice(best_within(self._sums, self._cost, self._share))

    def observe(self, scores: Sequence[float | None]) -> None:
        """Adds up what is measured until all is settled."""
        super().observe(scores)
        if self._step <= self._steps:
            self._sums += [score or 0.0 for score in scores]

    def state_dict(self) -> dict[str, Any]:
        """Scores, random generator, steps and sums."""
        return {**super().state_dict(), "step": self._step, "sums": self._sums.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        super().load_state_dict(state)
        self._step, self._sums = int(state["step"]), np.asarray(state["sums"], dtype=np.float64)
