"""What a live view in a browser is told: a run's events as small answers. Reads the store; knows neither gradio nor figures.

A browser keeps a byte offset and asks what is new since. It gets either `steps` to append or, on its first question and whenever
appending would not do, a `reset`: the whole run merged into columns that fit a picture. Both are bounded, however long the run is:

    {"offset", "state", "reset": True, "head": {...}, "columns": {...}, "tail": [...], "evaluations", "notices", "phase", "ending"}
    {"offset", "state", "steps": [...], ...}        # keys only for what is new

Nothing depends on what is remembered between two questions; the histories kept here only save reading a file again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from irtuning.errors import RunError, StudioError
from irtuning.events import ENDINGS
from irtuning.insight.columns import Columns, merge_columns
from irtuning.insight.explain import explain
from irtuning.insight.history import RunHistory

MOST_BACKLOG = 160 * 1024
"""Bytes of events that are still appended; with more the browser gets a reset, which is smaller."""
LOOK_EVERY = 0.04
"""Seconds between two looks at the size of a file that a browser waits for."""
MOST_NOTICES, MOST_TEXT, MOST_EVALUATIONS = 12, 400, 400
TAIL = 24
"""Latest single steps that a reset carries, for speed, memory and time left."""

_RESETTING = {"run_started", "resumed"}
_log = logging.getLogger(__name__)


class Store(Protocol):
    """What is asked of a store of runs (`irtuning.runs.store.RunStore`)."""

    def path(self, run: str) -> Path:
        """Folder of a run. Raises RunError for what is no run."""

    def state(self, run: str) -> str:
        """queued, running, finished, stopped, failed or lost."""

    def read_events(self, run: str, offset: int = 0) -> tuple[int, list[dict[str, Any]]]:
        """Whole events from a byte offset on, and the offset to go on from."""

    def summary(self, run: str) -> dict[str, Any]:
        """A run as the list of runs shows it."""

    def place(self, run: str) -> int:
        """How many runs come before a queued one."""


class _Kept:
    """A run's history and how far it was read."""

    def __init__(self, identity: tuple[int, int]) -> None:
        self.identity, self.offset, self.history = identity, 0, RunHistory()
        self.lock = threading.Lock()


class RunReader:
    """Answers a live view's questions about runs of a store.

    Args:
        store: where runs live.
        clock: wall-clock seconds since 1970.
        keep: how many histories are remembered.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time, keep: int = 8) -> None:
        self._store, self._clock, self._keep = store, clock, keep
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def poll(self, run: str, offset: int = 0) -> dict[str, Any]:
        """What is new of a run since a byte offset.

        Raises:
            RunError: there is no such run.
        """
        path = self._events_path(run)
        size = path.stat().st_size if path.exists() else 0
        answer: dict[str, Any] = {"offset": offset, "state": self._store.state(run)}
        if answer["state"] == "queued":
            answer["place"] = self._store.place(run)
        if 0 < offset <= size and size - offset <= MOST_BACKLOG:
            new_offset, events = self._store.read_events(run, offset) if size > offset else (offset, [])
            if new_offset >= offset and not any(event["kind"] in _RESETTING for event in events):
                return {**answer, "offset": new_offset, **appended(events)}
        with self._history(run) as kept:
            return {**answer, "offset": kept.offset, "reset": True, "head": self._head(run, kept.history),
                    **whole(kept.history, self._clock())}

    async def wait(self, run: str, offset: int, seconds: float) -> None:
        """Comes back once the run's events go on beyond an offset, or after that many seconds. Holds no thread.

        Raises:
            RunError: there is no such run.
        """
        path = self._events_path(run)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if path.stat().st_size != offset:
                    return
            except OSError:
                return
            await asyncio.sleep(LOOK_EVERY)

    def explain(self, run: str, step: int) -> dict[str, Any]:
        """`insight.explain.explain` of one step, numbers rounded for the wire.

        Raises:
            RunError: there is no such run, or no such step.
        """
        with self._history(run) as kept:
            try:
                answer = explain(kept.history, step, self._config(run))
            except KeyError:
                raise RunError(f"Step {step} is not on record.") from None
        for name in ("ranked", "curve"):
            if answer[name] is not None:
                answer[name] = [rounded(value) for value in answer[name]]
        answer["trained"] = mask_hex(answer["trained"])
        return answer

    def _history(self, run: str) -> _Borrowed:
        """The history of a run up to its file's end, for as long as the `with` lasts."""
        path = self._events_path(run)
        status = path.stat() if path.exists() else None
        identity = (status.st_dev, status.st_ino) if status else (0, 0)
        with self._lock:
            kept = self._kept.get(run)
            if kept is None or kept.identity != identity or (status and status.st_size < kept.offset):
                kept = self._kept[run] = _Kept(identity)
            self._kept.move_to_end(run)
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
        return _Borrowed(self._store, run, kept)

    def _events_path(self, run: str) -> Path:
        return self._store.path(run) / "events.jsonl"

    def _config(self, run: str) -> dict[str, Any]:
        try:
            config = json.loads((self._store.path(run) / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return config if isinstance(config, dict) else {}

    def _head(self, run: str, history: RunHistory) -> dict[str, Any]:
        config, header = self._config(run), history.header
        summary = self._store.summary(run)
        return {
            "run": run,
            "name": str(config.get("name") or summary.get("name") or run)[:MOST_TEXT],
            "method": config.get("tuning_method") or "ir",
            "metric": config.get("importance_metric_name") or "gradient",
            "model": str(config.get("model_name") or "")[:MOST_TEXT],
            "corpus": str(config.get("dataset_name") or "")[:MOST_TEXT],
            "recorded": bool(summary.get("recorded")),
            "layers": history.layers,
            "steps": int(header.get("steps") or 0),
            "started": history.started,
        }


class _Borrowed:
    """Locks a kept history, brings it up to date, and lends it."""

    def __init__(self, store: Store, run: str, kept: _Kept) -> None:
        self._store, self._run, self._kept = store, run, kept

    def __enter__(self) -> _Kept:
        self._kept.lock.acquire()
        try:
            while True:
                offset, events = self._store.read_events(self._run, self._kept.offset)
                if offset <= self._kept.offset:
                    return self._kept
                self._kept.history.feed(events)
                self._kept.offset = offset
        except BaseException:
            self._kept.lock.release()
            raise

    def __exit__(self, *exception: object) -> None:
        self._kept.lock.release()


def appended(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """New events as the keys of an answer; only what there is."""
    answer: dict[str, Any] = {}
    for event in events:
        kind = event["kind"]
        if kind == "step":
            answer.setdefault("steps", []).append(step_row(event))
        elif kind == "evaluated":
            answer.setdefault("evaluations", []).append(evaluation_row(event))
        elif kind == "phase":
            answer["phase"] = {**_phase(event), "time": event["time"]}
        elif kind == "notice":
            answer.setdefault("notices", []).append(_notice(event))
        elif kind in ENDINGS:
            answer["ending"] = _ending(event)
    return answer


def whole(history: RunHistory, now: float) -> dict[str, Any]:
    """A run so far as the keys of a reset; bounded however long it is."""
    phase = history.phases[-1] if history.phases else None
    first = max(0, len(history) - TAIL)
    answer: dict[str, Any] = {
        "columns": columns_packed(merge_columns(history)),
        "tail": [
            [int(history.steps[i]), rounded(history.times[i], 7), rounded(history.losses[i]), rounded(history.seconds[i]),
             rounded(history.memory_mib[i])]
            for i in range(first, len(history))
        ],
        "evaluations": [evaluation_row(event) for event in _thinned(history.evaluations)],
        "notices": [_notice(event) for event in history.notices[-MOST_NOTICES:]],
        "now": _seconds_since(history.started, now),
    }
    if phase:
        answer["phase"] = {**_phase(phase), "time": phase["time"]}
    if history.ending:
        answer["ending"] = _ending(history.ending)
    return answer


def step_row(event: dict[str, Any]) -> list[Any]:
    """[step, time, loss, seconds, memory, trained as hex, measured as hex or "" where the same, scores of the measured]."""
    scores = event["scores"]
    chosen = set(event["selected"])
    trained = mask_hex([layer in chosen for layer in range(len(scores))])
    measured = mask_hex([score is not None for score in scores])
    return [
        event["step"], rounded(event["time"], 7), rounded(event["loss"]), rounded(event["seconds"]),
        rounded(event["memory_mib"]), trained, "" if measured == trained else measured,
        [rounded(score) for score in scores if score is not None],
    ]


def evaluation_row(event: dict[str, Any]) -> list[Any]:
    """[step, subset, of, macro-F1]."""
    return [event["step"], event["subset"], event["of"], rounded(event["metrics"].get("macro_f1"))]


def columns_packed(columns: Columns) -> dict[str, Any]:
    """Columns as base64 of little-endian numbers, column after column: float32 (NaN: not measured) and uint16 counts."""
    return {
        "width": columns.width,
        "first": int(columns.edges[0]),
        "end": int(columns.edges[-1]),
        "norms": _packed(columns.norms, "<f4"),
        "trained": _packed(columns.trained, "<u2"),
        "medians": _packed(columns.medians, "<f4"),
        "losses": _packed(columns.losses, "<f4"),
    }


def mask_hex(flags: Sequence[bool]) -> str:
    """Flags as hexadecimal digits, four a digit, the first flag the highest bit; padded with zeros at the end."""
    bits = "".join("1" if flag else "0" for flag in flags)
    bits += "0" * (-len(bits) % 4)
    return f"{int(bits, 2):0{len(bits) // 4}x}" if bits else ""


def rounded(value: float | None, digits: int = 4) -> float | None:
    """A number to some significant digits; None for what is no finite number."""
    if value is None or not np.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def _packed(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode("ascii")


def _thinned(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `MOST_EVALUATIONS`, evenly chosen, the last one of each kind kept."""
    if len(events) <= MOST_EVALUATIONS:
        return list(events)
    every = -(-len(events) // MOST_EVALUATIONS)
    last = {(event["subset"], event["of"]): index for index, event in enumerate(events)}
    return [event for index, event in enumerate(events) if index % every == 0 or index in last.values()]


def _phase(event: dict[str, Any]) -> dict[str, Any]:
    return {"name": event["name"], "text": str(event.get("text") or "")[:MOST_TEXT]}


def _notice(event: dict[str, Any]) -> dict[str, Any]:
    return {"level": event.get("level", "info"), "text": str(event["text"])[:MOST_TEXT]}


def _ending(event: dict[str, Any]) -> dict[str, Any]:
    return {"kind": event["kind"], "what": str(event.get("what", ""))[:MOST_TEXT],
            "advice": str(event.get("advice", ""))[:MOST_TEXT], "time": event["time"]}


def _seconds_since(started: str | None, now: float) -> float | None:
    """Seconds from a run's wall-clock start to now, None where it is unknown."""
    try:
        return round(now - datetime.fromisoformat(started or "").timestamp(), 3)
    except ValueError:
        return None


def failure(error: Exception) -> dict[str, str]:
    """{"error": one sentence}: what a person is told of an error; what nobody foresaw goes to the server's log alone."""
    if isinstance(error, StudioError):
        return {"error": str(error)}
    _log.error("a live view's question failed", exc_info=error)
    return {"error": "The run could not be read. The server's log says why."}
