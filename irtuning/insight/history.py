"""RunHistory: a run's events folded into arrays. Pure numpy; knows neither files nor pages.

T steps, L layers. A score that was not measured in a step is NaN; what was carried over is asked for with `carried`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from irtuning.events import ENDINGS

INITIAL_SCORE = 1000.0
"""What a layer counts as until it is measured for the first time."""

_NUMBERS = ("step", "time", "epoch", "loss", "learning_rate", "seconds", "tokens", "memory_mib")


@dataclass
class RunHistory:
    """What is known of one run so far; `feed` it events in their order, a few at a time.

    Attributes:
        header: the fields of `run_started`; empty before it.
        started: wall-clock start (ISO 8601) that times count from, None before the first event.
        phases, evaluations, notices, checkpoints: those events as plain objects, in their order.
        ending: the event that ended the run, None while it lasts.
        splits: one list of rounds a step, None where no split decided.
    """

    header: dict[str, Any] = field(default_factory=dict)
    started: str | None = None
    phases: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    ending: dict[str, Any] | None = None
    splits: list[list[dict[str, Any]] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._count = 0
        self._layers = 0
        self._numbers = np.zeros((0, len(_NUMBERS)))
        self._scores = np.zeros((0, 0))
        self._selected = np.zeros((0, 0), dtype=bool)
        self._moved = np.zeros((0, 0), dtype=bool)

    # -- reading ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Steps so far."""
        return self._count

    @property
    def layers(self) -> int:
        """Layers of the model, or the parts of layers that are chosen; 0 before they are known."""
        return self._layers

    @property
    def unit(self) -> str:
        """What a row is: layer, block or module."""
        return str(self.header.get("unit") or "layer")

    @property
    def owners(self) -> list[int]:
        """The layer that each row lies in, from 0; shape (rows,)."""
        units, layers = self.header.get("unit_names") or (), self.header.get("layer_names") or ()
        if not units:
            return list(range(self._layers))
        return [next((i for i, layer in enumerate(layers) if f"{unit}.".startswith(f"{layer}.")), 0) for unit in units]

    @property
    def names(self) -> list[str]:
        """What people call the rows: `layer 3`, or `layer 3 attention` where parts of layers are chosen."""
        units, layers = self.header.get("unit_names") or (), self.header.get("layer_names") or ()
        if not units:
            return [f"layer {index}" for index in range(self._layers)]
        parts = [unit.removeprefix(layers[i]).strip(".") for unit, i in zip(units, self.owners, strict=True)]
        return [f"layer {i} {part}".strip() for i, part in zip(self.owners, parts, strict=True)]

    @property
    def steps(self) -> np.ndarray:
        """Numbers of the steps, ascending, shape (T,)."""
        return self._column("step").astype(int)

    @property
    def times(self) -> np.ndarray:
        """Seconds since the run's start at the end of each step, shape (T,)."""
        return self._column("time")

    @property
    def losses(self) -> np.ndarray:
        """Loss of each step, NaN where there is none, shape (T,)."""
        return self._column("loss")

    @property
    def learning_rates(self) -> np.ndarray:
        """Learning rate of each step, shape (T,)."""
        return self._column("learning_rate")

    @property
    def seconds(self) -> np.ndarray:
        """Seconds each step took, shape (T,)."""
        return self._column("seconds")

    @property
    def tokens(self) -> np.ndarray:
        """Tokens of each step without padding, shape (T,)."""
        return self._column("tokens")

    @property
    def memory_mib(self) -> np.ndarray:
        """Memory after each step, shape (T,)."""
        return self._column("memory_mib")

    @property
    def scores(self) -> np.ndarray:
        """Scores measured in each step, NaN where not measured, shape (T, L)."""
        return self._scores[: self._count]

    @property
    def selected(self) -> np.ndarray:
        """Layers trained in each step, shape (T, L), bool."""
        return self._selected[: self._count]

    @property
    def moved(self) -> np.ndarray:
        """Layers whose adapter weights differ after the step, shape (T, L), bool."""
        return self._moved[: self._count]

    @property
    def medians(self) -> np.ndarray:
        """Median over the layers measured in each step, NaN where none was, shape (T,)."""
        result = np.full(self._count, np.nan)
        some = ~np.isnan(self.scores).all(axis=1)
        if some.any():
            result[some] = np.nanmedian(self.scores[some], axis=1)
        return result

    def row(self, step: int) -> int:
        """Index of a step in the arrays.

        Raises:
            KeyError: the run has no such step (yet).
        """
        row = int(np.searchsorted(self.steps, step))
        if row >= self._count or self.steps[row] != step:
            raise KeyError(step)
        return row

    def carried(self, step: int) -> np.ndarray:
        """Scores as they stood before a step: each layer's last one, 1000 where never measured; shape (L,).

        `step` may be the one after the last: what the next choice would use.
        """
        last = self.last_measured(step)
        rows = np.maximum(last, 0)
        values = self.scores[rows, np.arange(self._layers)] if self._count else np.zeros(self._layers)
        return np.where(last >= 0, values, INITIAL_SCORE)

    def last_measured(self, step: int) -> np.ndarray:
        """Row of each layer's last measurement before a step, -1 where there is none; shape (L,)."""
        before = int(np.searchsorted(self.steps, step))
        there = ~np.isnan(self.scores[:before])
        if not before:
            return np.full(self._layers, -1)
        return np.where(there.any(axis=0), before - 1 - there[::-1].argmax(axis=0), -1)

    # -- writing ------------------------------------------------------------------------------------------------

    def feed(self, events: Iterable[dict[str, Any]]) -> None:
        """Takes further events. Unknown kinds are passed over, so that old readers survive new writers."""
        for event in events:
            kind = event.get("kind")
            if event.get("started") and (self.started is None or kind == "resumed"):
                self.started = event["started"]
            if kind == "step":
                self._take_step(event)
            elif kind == "run_started":
                self.header = event
                self._widen(len(event.get("unit_names") or ()) or int(event["layers"]))
            elif kind == "phase":
                self.phases.append(event)
            elif kind == "evaluated":
                self.evaluations.append(event)
            elif kind == "notice":
                self.notices.append(event)
            elif kind == "checkpoint_saved":
                self.checkpoints.append(event)
            elif kind == "resumed":
                self._forget_after(int(event["from_step"]))
            elif kind in ENDINGS:
                self.ending = event

    def _column(self, name: str) -> np.ndarray:
        return self._numbers[: self._count, _NUMBERS.index(name)]

    def _take_step(self, event: dict[str, Any]) -> None:
        scores = event["scores"]
        self._widen(len(scores))
        number = int(event["step"])
        if self._count and number <= self.steps[-1]:
            self._count = int(np.searchsorted(self.steps, number))
            del self.splits[self._count :]
        self._make_room()
        row = self._count
        self._numbers[row] = [np.nan if event.get(name) is None else event[name] for name in _NUMBERS]
        self._scores[row] = [np.nan if score is None else score for score in scores]
        self._selected[row] = False
        self._selected[row, event["selected"]] = True
        self._moved[row] = False
        self._moved[row, event["moved"]] = True
        self.splits.append(event.get("split"))
        self._count += 1

    def _widen(self, layers: int) -> None:
        """Fixes the number of layers; a run that starts over with another number starts empty."""
        if layers == self._layers:
            return
        self._layers, self._count = layers, 0
        self.splits.clear()
        self._numbers = self._numbers[:0]
        self._scores = np.zeros((0, layers))
        self._selected = np.zeros((0, layers), dtype=bool)
        self._moved = np.zeros((0, layers), dtype=bool)

    def _make_room(self) -> None:
        """Doubles the arrays when they are full."""
        if self._count < len(self._scores):
            return
        for name in ("_numbers", "_scores", "_selected", "_moved"):
            old = getattr(self, name)
            new = np.zeros((max(64, 2 * len(old)), *old.shape[1:]), dtype=old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def _forget_after(self, step: int) -> None:
        """Forgets every step, evaluation, checkpoint and ending beyond `step`: the run goes on from there."""
        self._count = int(np.searchsorted(self.steps, step, side="right"))
        del self.splits[self._count :]
        self.evaluations = [event for event in self.evaluations if event["step"] <= step]
        self.checkpoints = [event for event in self.checkpoints if event["step"] <= step]
        self.ending = None


def chosen(events: Iterable[dict[str, Any]]) -> list[list[int]]:
    """What trained in each step of a run, in order, from 0; steps that a resumed run forgot are left out."""
    history = RunHistory()
    history.feed(events)
    return [np.flatnonzero(row).tolist() for row in history.selected]
