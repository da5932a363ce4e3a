"""IST, importance-aware sparse tuning: learns by trial which units matter less, and trains those more rarely or more often.

Pure numbers: the losses under damped adapters are the caller's to measure. Source: Yao et al., 2024, and the decisions of the
reference implementation of IR-Tuning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from irtuning.tuning.policies import Choice, Policy, draw, share_of

PROBE_EVERY = 10
"""Steps between two trials."""
SETS = 3
"""Sets damped in one trial, where so many distinct ones exist."""
TRAINED_SHARE, DAMPED_SHARE = 0.25, 0.5
RATE = 10.0
DAMPING = 0.25
"""What the adapters of a damped set are scaled by."""


class ISTPolicy(Policy):
    """Trains `count` units drawn with weights sigmoid(-I); every ten steps I follows how little damping a unit hurts."""

    tries = True

    def __init__(self, units: int, *, count: int | None = None, seed: int = 171) -> None:
        self.importance = np.zeros(units)
        self._count = min(count or share_of(units, TRAINED_SHARE), units)
        self._random = np.random.default_rng(seed)
        self._step = 0
        self._probed: list[tuple[int, ...]] = []

    def probes(self) -> list[tuple[int, ...]]:
        """Distinct sets to damp, in every tenth step but the first."""
        self._probed = []
        if self._step and self._step % PROBE_EVERY == 0:
            units = len(self.importance)
            size = share_of(units, DAMPED_SHARE)
            wanted = min(SETS, math.comb(units, size))
            while len(self._probed) < wanted:
                drawn = draw(self._random, units, size, sigmoid(self.importance))
                if drawn not in self._probed:
                    self._probed.append(drawn)
        return self._probed

    def reward(self, losses: Sequence[float]) -> None:
        """Moves the importance after the losses of the sets that `probes` gave."""
        self.importance = updated(self.importance, self._probed, losses)

    def choose(self) -> Choice:
        """A draw that favours units of low I."""
        self._step += 1
        return Choice(draw(self._random, len(self.importance), self._count, sigmoid(-self.importance)))

    def state_dict(self) -> dict[str, Any]:
        """Importance, steps so far and the random generator."""
        return {
            "importance": self.importance.tolist(),
            "step": self._step,
            "random": self._random.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        self.importance, self._step = np.asarray(state["importance"], dtype=np.float64), int(state["step"])
        self._random.bit_generator.state = state["random"]


def updated(importance: np.ndarray, sets: Sequence[Sequence[int]], losses: Sequence[float]) -> np.ndarray:
    """I_l + 10 (exp(-loss_k) - mean) p_l (1 - p_l) for each unit l of each set k, with p = sigmoid(I) from before the update.

    A loss that is not finite gives no reward.

    Args:
        importance: shape (units,). sets: units damped together. losses: one a set.
    """
    rewards = np.array([math.exp(-loss) if math.isfinite(loss) else 0.0 for loss in losses])
    rewards = rewards - rewards.mean()
    p = sigmoid(importance)
    found = importance.copy()
    for units, reward in zip(sets, rewards, strict=True):
        where = list(units)
        found[where] += RATE * reward * p[where] * (1 - p[where])
    return found


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + np.exp(-values))
