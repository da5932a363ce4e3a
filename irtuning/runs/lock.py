"""The lock of a store: one run trains at a time. The kernel frees it when its holder dies, however it dies.

The lock's file names the run that is being trained, for those who wait. Knows no events and no queue.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from irtuning.errors import RunError, StopRequested
from irtuning.runs.naming import is_id
from irtuning.runs.process import is_alive, is_elsewhere, read_process

FILE = ".lock"
DISPATCH_FILE = ".dispatch"
POLL_SECONDS = 0.2


@contextmanager
def store_lock(
    home: Path,
    run: str,
    *,
    waiting: Callable[[str], None] = lambda holder: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Holds the store's lock for a run; waits as long as another has it.

    Args:
        waiting: told once, if this run has to wait, the id of the run that trains now (empty if that is not known).
        should_stop: asked again and again while waiting.

    Raises:
        StopRequested: `should_stop` said so.
    """
    handle = _open(home / FILE)
    try:
        told = False
        while not _try_lock(handle):
            if not told:
                waiting(holder(home))
                told = True
            if should_stop():
                raise StopRequested
            time.sleep(POLL_SECONDS)
        os.ftruncate(handle, 0)
        os.pwrite(handle, run.encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def holder(home: Path) -> str:
    """The id of the run that has the lock, empty if none has; what a killed holder left in the file does not count."""
    try:
        name = (home / FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    if not is_id(name):
        return ""
    record = read_process(home / name)
    return name if is_alive(record) or (is_elsewhere(record) and _is_held(home)) else ""


def _is_held(home: Path) -> bool:
    """Whether anybody has the lock, on whatever host; asking takes it for a moment where nobody has."""
    try:
        handle = os.open(home / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


@contextmanager
def dispatch_lock(home: Path, *, wait: bool = True) -> Iterator[bool]:
    """Held for the moments in which a waiting run is started or cancelled, so that two apps never do both.

    Yields:
        whether it was got: always, with `wait`.
    """
    handle = _open(home / DISPATCH_FILE)
    try:
        if wait:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield wait or _try_lock(handle)
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise unwritable(error) from error


def unwritable(error: OSError) -> RunError:
    """What to say where the folder of runs cannot be written."""
    return RunError(
        f"The folder of runs cannot be written ({error.strerror or 'unknown reason'}).",
        "Free some space, or name another folder: --output-dir on the command line, IRTUNING_HOME for all runs.",
    )


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
