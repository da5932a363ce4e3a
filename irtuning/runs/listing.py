"""The runs of a store as rows for a list, without reading whole events files: heads, tails and closing figures.

What a file said is kept until its time or size changes; only whether a process lives is asked anew each time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irtuning.runs import naming
from irtuning.runs.description import CONFIG, PRIVATE, read_json
from irtuning.runs.lock import holder
from irtuning.runs.log import FILE as EVENTS
from irtuning.runs.log import read_head, read_tail
from irtuning.runs.process import FILE as PROCESS
from irtuning.runs.process import is_alive, read_process
from irtuning.runs.status import OPEN_STATES, Facts, State, head_facts, state_of, tail_facts
from irtuning.runs.stopping import stop_requested
from irtuning.tuning.checkpoints import FOLDER as CHECKPOINTS

_WATCHED = (CONFIG, EVENTS, "metrics.json", PROCESS, CHECKPOINTS)
LOST = (
    "Its process is gone and left no word.",
    "The machine may have run out of memory or been switched off: worker.log in its folder may tell. On the command line, "
    "train --resume goes on from its last checkpoint; Run again starts over.",
)
"""What is told of a lost run: what, and advice."""
_SCORES = ("accuracy", "macro_f1", "weighted_f1", "au_prc")
Signature = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class _Known:
    """What the files of a run said when they had this signature."""

    signature: Signature
    facts: Facts
    process: dict[str, Any] | None
    made_here: bool
    row: dict[str, Any]


class Listing:
    """Rows of the runs in two folders, one's own and the recorded ones; cheap enough to ask several times a second."""

    def __init__(self, home: Path, recorded: Path | None) -> None:
        self._home, self._recorded = home, recorded
        self._lock = threading.Lock()
        self._known: dict[Path, _Known] = {}

    def rows(self) -> list[dict[str, Any]]:
        """All runs, one's own newest first, then the recorded ones."""
        busy = holder(self._home)
        own = _newest_first(self._row(folder, busy) for folder in _folders(self._home))
        _give_places(own)
        recorded = _newest_first(self._row(folder, busy) for folder in _folders(self._recorded))
        return own + [row for row in recorded if row["run"] not in {r["run"] for r in own}]

    def row(self, folder: Path) -> dict[str, Any]:
        """One run.

        Returns:
            {"run", "name", "state", "model", "corpus", "method", "metric", "adapter", "preset", "recorded",
            "created" and "started" (ISO 8601, UTC), "claimed" (a process has it), "stopping" (it was asked to stop),
            "phase", "step", "steps" and "layers" (0 until known), "seconds" (from its start to its last event),
            "what" and "advice" (how it ended), "metrics" (of the network: accuracy, macro_f1, weighted_f1, au_prc) or
            None, "floor" (the same) or None, "difference" (as in metrics.json) or None, "has_adapter",
            "size" (bytes of its files, 0 until it ended), "place" (runs before it; None unless it waits or trains)}.
        """
        row = self._row(folder, holder(self._home))
        if row["state"] == "queued":
            return next((other for other in self.unended() if other["run"] == row["run"]), row)
        return row

    def state(self, folder: Path) -> State:
        """The state of one run."""
        return self._row(folder, holder(self._home))["state"]

    def unended(self) -> list[dict[str, Any]]:
        """One's own runs without a closing event, in the order in which they come; ended ones cost nothing."""
        busy = holder(self._home)
        with self._lock:
            ended = {folder for folder, known in self._known.items() if known.facts.ending}
        rows = [self._row(folder, busy) for folder in _folders(self._home, ended)]
        rows = [row for row in rows if row["state"] in (*OPEN_STATES, "lost")]
        _give_places(rows)
        return sorted(rows, key=_turn)

    def forget(self, folder: Path) -> None:
        """Drops what is kept of a run that is gone."""
        with self._lock:
            self._known.pop(folder, None)

    def _row(self, folder: Path, busy: str, sure: bool = False) -> dict[str, Any]:
        known = self._read(folder)
        facts = known.facts
        unclaimed = known.process is None and known.made_here
        # One that trains on another host has a process that cannot be asked here, but its lock can.
        alive = None if unclaimed else (not facts.ending and (is_alive(known.process) or busy == folder.name))
        waits = facts.phase == "waiting" and busy not in ("", folder.name)
        state = state_of(facts.ending, alive, waits)
        if state == "lost" and not sure:
            # It may have ended well between the reading and the asking; now that it is gone its files stand still.
            return self._row(folder, busy, sure=True)
        if known.row["recorded"] and state in OPEN_STATES:
            state = "stopped"  # a recording that was cut
        ended = {"what": LOST[0], "advice": LOST[1]} if state == "lost" else {}
        return {
            **known.row,
            **ended,
            "state": state,
            "claimed": known.process is not None,
            "stopping": state in OPEN_STATES and stop_requested(folder),
            "place": 0 if state in OPEN_STATES else None,
        }

    def _read(self, folder: Path) -> _Known:
        signature = tuple(_signature(folder / name) for name in _WATCHED)
        with self._lock:
            known = self._known.get(folder)
        if known is not None and known.signature == signature:
            return known
        facts = known.facts if known is not None and known.facts.layers else None
        first = facts or head_facts(read_head(folder / EVENTS, until="run_started"))
        facts = tail_facts(
            Facts(started=first.started, steps=first.steps, layers=first.layers), read_tail(folder / EVENTS)
        )
        # A run that somebody copied here without the files that are not to be shared waits for nobody.
        made_here = folder.parent != self._home or os.access(folder / PRIVATE, os.R_OK)
        known = _Known(signature, facts, read_process(folder), made_here, self._static_row(folder, facts))
        with self._lock:
            self._known[folder] = known
        return known

    def _static_row(self, folder: Path, facts: Facts) -> dict[str, Any]:
        config, closing = read_json(folder / CONFIG), read_json(folder / "metrics.json")
        return {
            "run": folder.name,
            "name": naming.title(folder.name),
            "state": "",
            "model": config.get("model_name"),
            "corpus": config.get("dataset_name"),
            "method": config.get("tuning_method"),
            "metric": config.get("importance_metric_name"),
            "adapter": config.get("adapter_name"),
            "preset": config.get("preset"),
            "created": str(config.get("created") or facts.started),
            "started": facts.started or str(config.get("created") or ""),
            "recorded": folder.parent != self._home,
            "phase": facts.phase,
            "step": facts.step,
            "steps": facts.steps,
            "layers": facts.layers,
            "seconds": facts.seconds,
            "what": facts.what,
            "advice": facts.advice,
            "metrics": _scores(closing.get("network")),
            "floor": _scores(closing.get("floor")),
            "difference": closing.get("difference"),
            "size": _size(folder) if facts.ending else 0,
            "has_adapter": (folder / "adapter" / "adapter_model.safetensors").is_file(),
        }


def _folders(root: Path | None, without: Collection[Path] = ()) -> list[Path]:
    """Run folders in a folder, but for some; links and what has no settings or no events are none."""
    if root is None:
        return []
    try:
        with os.scandir(root) as entries:
            names = [e.name for e in entries if naming.is_id(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    folders = (root / name for name in names)
    return [folder for folder in folders if folder not in without and is_run(folder)]


def is_run(folder: Path) -> bool:
    """Whether it holds settings and events; one that may not be entered does not."""
    try:
        return (folder / CONFIG).is_file() and (folder / EVENTS).exists()
    except OSError:
        return False


def _newest_first(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["created"], row["run"]), reverse=True)


def _give_places(rows: list[dict[str, Any]]) -> None:
    """Tells those that train or wait how many come before them."""
    for place, row in enumerate(sorted((row for row in rows if row["state"] in OPEN_STATES), key=_turn)):
        row["place"] = place if row["state"] == "queued" else 0


def _turn(row: dict[str, Any]) -> tuple[bool, bool, str, str]:
    """Sorts runs as they come: the training one, those whose process waits by itself, the others by age."""
    return row["state"] != "running", not row["claimed"], row["created"], row["run"]


def _size(folder: Path) -> int:
    try:
        return sum(Path(root, name).lstat().st_size for root, _, names in os.walk(folder) for name in names)
    except OSError:  # a file went away in between
        return 0


def _scores(metrics: Any) -> dict[str, Any] | None:
    if not isinstance(metrics, dict):
        return None
    return {name: metrics.get(name) for name in _SCORES}


def _signature(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
