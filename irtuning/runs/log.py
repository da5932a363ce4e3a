"""events.jsonl of a run: append, and read whole lines from an offset, from the head or from the tail.

Knows no state of a run; what its lines mean is `status`'s.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from irtuning import events

FILE = "events.jsonl"
LIMIT_BYTES = 1 << 20
"""How much of a file one call reads unless asked for more."""
HEAD_BYTES = 1 << 16
TAIL_BYTES = 1 << 14
"""Holds several steps of a model of 80 layers, and any closing event with what led to it."""

AnyEvent = TypeVar("AnyEvent", bound=events._Event)


class EventLog:
    """Appends events to a run's file, from any thread. Each goes out as one write, so readers see whole lines.

    Args:
        run_dir: the run's folder.
        also: told each event as it was written, with its time.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        also: Callable[[Any], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = run_dir / FILE
        self._also, self._clock = also, clock
        self._lock = threading.Lock()
        self._start: float | None = None
        self._last = 0.0

    def append(self, event: AnyEvent) -> AnyEvent:
        """Writes one event with its `time`, the first one with the wall-clock `started`; returns it as written. One that tells
        that the run goes on has the moment at which it would have begun without the pause."""
        with self._lock:
            now = self._clock()
            if isinstance(event, events.Resumed):
                # The time in which nothing ran does not count.
                self._last = last_kept(self._path, event.from_step)
                self._start = now - self._last
                event = event.model_copy(update={"started": datetime.fromtimestamp(self._start, UTC).isoformat()})
            if self._start is None:
                self._start, self._last = _wall_start(self._path), last_time(self._path)
            if self._start is None:
                self._start = now
                event = event.model_copy(update={"started": datetime.fromtimestamp(now, UTC).isoformat()})
            # A clock that was set back must not turn time around.
            self._last = max(self._last, now - self._start, 0.0)
            event = event.model_copy(update={"time": round(self._last, 4)})
            self._write(events.to_line(event).encode() + b"\n")
        if self._also is not None:
            self._also(event)
        return event

    def _write(self, line: bytes) -> None:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                line = b"\n" + line  # a writer died in the middle of a line: leave that one behind
            while line:
                line = line[os.write(handle, line) :]
        finally:
            os.close(handle)


def last_time(path: Path) -> float:
    """`time` of the last event there is; 0 where none is."""
    times = [event.get("time") for event in read_tail(path)]
    return next((float(time) for time in reversed(times) if isinstance(time, int | float)), 0.0)


def last_kept(path: Path, from_step: int) -> float:
    """`time` of the last event that stays when a run goes on after `from_step`; 0 where none does."""
    moment = 0.0
    for event in all_events(path):
        beyond = event["kind"] in ("step", "evaluated", "checkpoint_saved") and event.get("step", 0) > from_step
        if not beyond and isinstance(event.get("time"), int | float):
            moment = float(event["time"])
    return moment


def all_events(path: Path) -> Iterator[dict[str, Any]]:
    """All whole events of a file, in their order."""
    offset = 0
    while True:
        after, found = read_from(path, offset)
        if after == offset:
            return
        yield from found
        offset = after


def read_from(path: Path, offset: int, limit_bytes: int = LIMIT_BYTES) -> tuple[int, list[dict[str, Any]]]:
    """Events from a byte offset on, and the offset to go on from; at most `limit_bytes`, but at least one whole line.

    An offset beyond the file's end means that the file is another one now: it is read from 0, which the caller sees by
    an answer smaller than what was asked for. A file that is not there is empty.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            offset = 0 if offset > size else offset
            stream.seek(offset)
            data = stream.read(limit_bytes)
            if b"\n" not in data and len(data) == limit_bytes:
                data += stream.readline()
    except FileNotFoundError:
        return 0, []
    used, found = events.read_lines(data)
    return offset + used, found


def read_head(path: Path, until: str, limit_bytes: int = HEAD_BYTES) -> list[dict[str, Any]]:
    """The first events, up to the first one of kind `until` if it begins within the first bytes; none of what cannot be read."""
    found: list[dict[str, Any]] = []
    try:
        with path.open("rb") as stream:
            while stream.tell() < limit_bytes and (line := stream.readline()).endswith(b"\n"):
                found += events.read_lines(line)[1]
                if found and found[-1]["kind"] == until:
                    break
    except OSError:
        pass
    return found


def read_tail(path: Path, limit_bytes: int = TAIL_BYTES) -> list[dict[str, Any]]:
    """The last events, as many as stand whole in the last bytes; a torn last line is left out, as is what cannot be read."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            skip = max(0, size - limit_bytes)
            stream.seek(skip)
            data = stream.read(limit_bytes)
    except OSError:
        return []
    if skip:
        data = data[data.find(b"\n") + 1 :]
    return events.read_lines(data)[1]


def _wall_start(path: Path) -> float | None:
    """When the run began, in seconds since 1970, by the last event that says so; None where none does."""
    began = None
    for event in all_events(path):
        with suppress(KeyError, TypeError, ValueError):
            began = datetime.fromisoformat(event["started"]).timestamp()
    return began
