"""Remedies for lock-in, as wrappers around any scored policy: measure all again, rank relatively, explore. Knows no model.

The paper's rule ranks a resting unit by its last score. A fresh LoRA's first scores are tiny, so what the first two steps
leave out may never come back; each of these gives it a way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from irtuning.tuning.policies import Choice, Policy, ScoredPolicy, draw

OWN_MEAN_KEEPS = 0.9
"""What a unit's running mean keeps of itself at each measurement."""


class Refreshed(Policy):
    """All units train, and so are measured, in the first step and every `every` steps; between them the inner policy chooses."""

    def __init__(self, inner: Policy, units: int, every: int) -> None:
        self._inner, self._units, self._every, self._step = inner, units, every, 0

    def choose(self) -> Choice:
        """All, or the inner policy's choice."""
        whole = self._step % self._every == 0
        self._step += 1
        return Choice(tuple(range(self._units))) if whole else self._inner.choose()

    def observe(self, scores: Sequence[float | None]) -> None:
        """Handed on."""
        self._inner.observe(scores)

    def state_dict(self) -> dict[str, Any]:
        """Steps so far and the inner state."""
        return {"step": self._step, "inner": self._inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        self._step = int(state["step"])
        self._inner.load_state_dict(state["inner"])


class Exploring(Policy):
    """Replaces a share of the chosen units by resting ones at random; how many are chosen stays the same.

    A share that is no whole number of units is rounded up or down at random, so that it holds on average.
    """

    def __init__(self, inner: Policy, units: int, share: float, *, seed: int = 171) -> None:
        self._inner, self._units, self._share = inner, units, share
        self._random = np.random.default_rng(seed + 1)

    def choose(self) -> Choice:
        """The inner choice with some of its units exchanged; its split is told as it was."""
        found = self._inner.choose()
        chosen = found.layers
        resting = [u for u in range(self._units) if u not in set(chosen)]
        wanted = self._share * len(chosen)
        count = min(int(wanted) + int(self._random.random() < wanted % 1), len(resting))
        if not count:
            return found
        out = {chosen[i] for i in draw(self._random, len(chosen), count)}
        into = {resting[i] for i in draw(self._random, len(resting), count)}
        return Choice(tuple(sorted((set(chosen) - out) | into)), found.split)

    def observe(self, scores: Sequence[float | None]) -> None:
        """Handed on."""
        self._inner.observe(scores)

    def state_dict(self) -> dict[str, Any]:
        """The random generator and the inner state."""
        return {"random": self._random.bit_generator.state, "inner": self._inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        self._random.bit_generator.state = state["random"]
        self._inner.load_state_dict(state["inner"])


class Relative(Policy):
    """Hands the inner policy scores divided by what is usual for the unit: a fixed number each, or its own running mean.

    Args:
        divisors: one positive number a unit; None: the running mean of the unit's own scores.
    """

    def __init__(self, inner: ScoredPolicy, units: int, divisors: Sequence[float] | None = None) -> None:
        self._inner = inner
        self._own = divisors is None
        self._divisors = np.ones(units) if divisors is None else np.asarray(divisors, dtype=np.float64)
        self._seen = np.zeros(units, dtype=bool)

    def choose(self) -> Choice:
        """The inner policy's choice among relative scores."""
        return self._inner.choose()

    def observe(self, scores: Sequence[float | None]) -> None:
        """Hands on what was measured, divided."""
        relative: list[float | None] = []
        for unit, score in enumerate(scores):
            if score is None:
                relative.append(None)
                continue
            if self._own:
                mean = self._divisors[unit]
                self._divisors[unit] = (
                    OWN_MEAN_KEEPS * mean + (1 - OWN_MEAN_KEEPS) * score if self._seen[unit] else score
                )
                self._seen[unit] = True
            relative.append(score / max(self._divisors[unit], 1e-12))
        self._inner.observe(relative)

    def state_dict(self) -> dict[str, Any]:
        """Divisors, which were seen, and the inner state."""
        return {"divisors": self._divisors.tolist(), "seen": self._seen.tolist(), "inner": self._inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        self._divisors = np.asarray(state["divisors"], dtype=np.float64)
        self._seen = np.asarray(state["seen"], dtype=bool)
        self._inner.load_state_dict(state["inner"])
