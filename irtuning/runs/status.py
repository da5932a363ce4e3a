"""What a run's events and process say about it: its state, phase and progress. Pure; knows no disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from irtuning.events import ENDINGS

State = Literal["queued", "running", "finished", "stopped", "failed", "lost"]
OPEN_STATES: tuple[State, ...] = ("queued", "running")
BEFORE_TRAINING = ("waiting", "loading", "encoding", "floor")
"""Phases in which a run has nothing yet that could be lost."""


@dataclass(frozen=True)
class Facts:
    """What events tell, without reading them all.

    Attributes:
        started: wall-clock start, ISO 8601, UTC. ending: kind of the closing event, empty while there is none.
        what, advice: of the closing event. phase: the one the run is in. step: last one done. steps: planned.
        layers: of the model, 0 until known. seconds: time of the last event.
    """

    started: str = ""
    ending: str = ""
    what: str = ""
    advice: str = ""
    phase: str = "waiting"
    step: int = 0
    steps: int = 0
    layers: int = 0
    seconds: float = 0.0


def head_facts(head: Iterable[dict[str, Any]]) -> Facts:
    """Facts of a run's first events: the start, and the model's once it stands."""
    facts = Facts()
    for event in head:
        if isinstance(event.get("started"), str) and not facts.started:
            facts = replace(facts, started=event["started"])
        if event["kind"] == "run_started":
            facts = replace(facts, steps=_whole(event.get("steps")), layers=_whole(event.get("layers")))
    return facts


def tail_facts(facts: Facts, tail: Iterable[dict[str, Any]]) -> Facts:
    """`facts` of a run's first events, completed by its last ones."""
    # Where the last lines are so long that no phase is among them, a model that stands tells.
    phase = "training" if facts.layers else facts.phase
    step, seconds, ending = facts.step, facts.seconds, None
    for event in tail:
        kind = event["kind"]
        if kind in ENDINGS:
            ending = event
        elif kind not in ("notice", "checkpoint_saved"):
            ending = None  # it went on after that
        if kind == "phase":
            phase = str(event.get("name", ""))
        elif kind in ("step", "resumed"):
            step = _whole(event.get("step", event.get("from_step")))
            phase = "training"
        time = event.get("time")
        if isinstance(time, int | float):
            seconds = float(time)
    facts = replace(facts, step=step, phase=phase, seconds=seconds)
    if ending is None:
        return facts
    return replace(
        facts, ending=ending["kind"], what=str(ending.get("what", "")), advice=str(ending.get("advice", ""))
    )


def state_of(ending: str, alive: bool | None, waits: bool) -> State:
    """The state of a run.

    Args:
        ending: kind of its closing event, or empty.
        alive: whether its process lives; None where no process has claimed it.
        waits: its process waits while another run trains.
    """
    if ending in ENDINGS:
        return ending  # type: ignore[return-value]
    if alive is None:
        return "queued"
    if not alive:
        return "lost"
    return "queued" if waits else "running"


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
