"""Policies: at each step, which layers train. They remember scores; they know neither models nor devices.

A policy is asked `choose()` before the forward pass and told `observe(scores)` after the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from irtuning.config import RunConfig
from irtuning.events import SplitRound
from irtuning.tuning.importance import UNMEASURED
from irtuning.tuning.selection import Boundary, Selection, select_layers


@dataclass(frozen=True)
class Choice:
    """Layers that train in one step, ascending; with the split that led to them where one did."""

    layers: tuple[int, ...]
    split: tuple[SplitRound, ...] | None = None


class Policy(Protocol):
    """Which layers train, step by step."""

    def choose(self) -> Choice:
        """The layers of the step that begins."""

    def observe(self, scores: Sequence[float | None]) -> None:
        """Takes the scores measured in the step that ends; None: not measured."""

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on later, as plain JSON values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state that `state_dict` gave."""


class FullPolicy:
    """Every layer trains at every step."""

    def __init__(self, layers: int) -> None:
        self._choice = Choice(tuple(range(layers)))

    def choose(self) -> Choice:
        """All layers."""
        return self._choice

    def observe(self, scores: Sequence[float | None]) -> None:
        """Scores do not matter here."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to go on from."""


class IRPolicy:
    """The paper's rule: split the layers by the variance of their gradient scores and train the high side.

    Scores of layers that were not measured are carried over; all start at 1000. While every score still has that value, the
    layers are ranked by random numbers instead.
    """

    def __init__(self, layers: int, *, splits: int = 1, boundary: Boundary = "reference", seed: int = 171) -> None:
        self.scores = np.full(layers, UNMEASURED)
        self._splits, self._boundary = splits, boundary
        self._random = np.random.default_rng(seed)

    def choose(self) -> Choice:
        """The high side of the split of the scores as they stand."""
        fresh = bool((self.scores == UNMEASURED).all())
        ranked = self._random.random(len(self.scores)) if fresh else self.scores
        selection = select_layers(ranked, splits=self._splits, boundary=self._boundary)
        return Choice(selection.layers, split_rounds(selection))

    def observe(self, scores: Sequence[float | None]) -> None:
        """Keeps the last score of each layer."""
        for layer, value in enumerate(scores):
            if value is not None:
                self.scores[layer] = value

    def state_dict(self) -> dict[str, Any]:
        """Scores and the random generator."""
        return {"scores": self.scores.tolist(), "random": self._random.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        self.scores = np.asarray(state["scores"], dtype=np.float64)
        self._random.bit_generator.state = state["random"]


def split_rounds(selection: Selection) -> tuple[SplitRound, ...] | None:
    """The rounds of a selection in which a split decided, None where none did."""
    rounds = tuple(
        SplitRound(rank=r.rank, low_variance=r.low_variance, high_variance=r.high_variance)
        for r in selection.rounds
        if r.rank is not None
    )
    return rounds or None


def make_policy(config: RunConfig, layers: int) -> Policy:
    """The policy of a resolved config."""
    if config.tuning_method == "full":
        return FullPolicy(layers)
    return IRPolicy(
        layers, splits=config.split_num or 1, boundary=config.boundary or "reference", seed=config.seed or 0
    )
