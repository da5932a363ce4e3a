"""RunReader: what a live view asks, answered from the store. Knows neither gradio nor figures.

A browser keeps a byte offset and asks what is new since. It gets either what to append or, on its first question and whenever
appending would not do, the whole run anew (`answers` has both forms); either is bounded, however long the run is.

Nothing depends on what is remembered between two questions; the histories kept here only save reading a file again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from irtuning.errors import RunError, StudioError
from irtuning.insight.explain import explain
from irtuning.insight.history import RunHistory
from irtuning.runs.status import OPEN_STATES
from irtuning.ui.answers import MOST_TEXT, appended, mask_hex, rounded, whole

MOST_BACKLOG = 160 * 1024
"""Bytes of events that are still appended; with more the browser gets a reset, which is smaller."""
LOOK_EVERY = 0.04
"""Seconds between two looks at the size of a file that a browser waits for."""

_RESETTING = {"run_started", "resumed"}
_log = logging.getLogger(__name__)


class Store(Protocol):
    """What is asked of a store of runs (`irtuning.runs.store.RunStore`)."""

    def path(self, run: str) -> Path:
        """Folder of a run. Raises RunError for what is no run."""

    def read_events(self, run: str, offset: int = 0) -> tuple[int, list[dict[str, Any]]]:
        """Whole events from a byte offset on, and the offset to go on from."""

    def summary(self, run: str) -> dict[str, Any]:
        """A run as the list of runs shows it."""


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
        row = self._store.summary(run)
        answer: dict[str, Any] = {"offset": offset, "state": row["state"]}
        if row["state"] == "queued":
            answer["place"] = row["place"] or 0
        if row["stopping"]:
            answer["stopping"] = True
        if row["state"] not in OPEN_STATES:
            answer["adapter"] = (path.parent / "adapter" / "adapter_model.safetensors").is_file()
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
            "model": str(config.get("model_name") or "")[:MOST_TEXT],
            "corpus": str(config.get("dataset_name") or "")[:MOST_TEXT],
            "method": str(config.get("tuning_method") or "ir")[:MOST_TEXT],
            "metric": str(config.get("importance_metric_name") or "gradient")[:MOST_TEXT],
            "recorded": bool(summary.get("recorded")),
            "layers": history.layers,
            "unit": history.unit,
            "names": [name[:MOST_TEXT] for name in history.names] if history.unit != "layer" else [],
            "steps": int(header.get("steps") or 0),
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


def failure(error: Exception) -> dict[str, str]:
    """{"error": one sentence}: what a person is told of an error; what nobody foresaw goes to the server's log alone."""
    if isinstance(error, StudioError):
        return {"error": str(error)}
    _log.error("a live view's question failed", exc_info=error)
    return {"error": "The run could not be read. The server's log says why."}
