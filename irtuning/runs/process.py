"""Which process trains a run: process.json, and whether that process still lives.

A pid alone tells nothing, as it is given again: a process is told by its pid and its start.
Knows no store and no queue.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import psutil

from irtuning.errors import RunError

FILE = "process.json"
LOG = "worker.log"
"""In a run's folder: what its process says, and the details of what broke."""
_SAME_START_S = 0.02
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def identity(pid: int) -> dict[str, Any] | None:
    """What tells a living process from every other; None: there is no such process, or only its zombie.

    Returns:
        {"pid", "started" (seconds since 1970), "host"}; on Linux "boot" and "ticks", too, which stay right when the clock is
        set while the process runs.
    """
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        found: dict[str, Any] = {"pid": pid, "started": process.create_time(), "host": _host()}
    except (psutil.Error, ValueError, OverflowError):
        return None
    try:
        # Field 22, counted behind the name, which may itself hold spaces and parentheses.
        found["ticks"] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        found["boot"] = _BOOT_ID.read_text().strip()
    except (OSError, IndexError, ValueError):
        found.pop("ticks", None)
    return found


def _host() -> str:
    """Tells this host or container from others without naming it: run folders are shared."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]


def is_elsewhere(record: dict[str, Any] | None) -> bool:
    """Whether the process of a process.json is one of another host or container, of which nothing can be seen here."""
    return bool(record) and record.get("host") not in (None, _host())


def is_alive(record: dict[str, Any] | None) -> bool:
    """Whether the process of a process.json lives on this host."""
    if not record or not isinstance(record.get("pid"), int) or record["pid"] <= 0 or is_elsewhere(record):
        return False
    now = identity(record["pid"])
    return now is not None and _same(record, now)


def read_process(run_dir: Path) -> dict[str, Any] | None:
    """process.json of a run; None where no process has claimed it."""
    try:
        record = json.loads((run_dir / FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def claim(run_dir: Path, pid: int | None = None) -> None:
    """Writes process.json: the run is this process's from now on, or its child's with the number `pid`.

    Claiming twice does no harm; a child that is dead already has the run, too, which is lost then.

    Raises:
        RunError: another living process has it.
    """
    me = identity(pid or os.getpid()) or {"pid": pid, "started": 0.0}
    path = run_dir / FILE
    text = json.dumps(me)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
        return
    except FileExistsError:
        pass
    except OSError:
        # On a full disk the name is still to be had: what is left empty would be nobody's.
        path.unlink(missing_ok=True)
        raise
    holder = read_process(run_dir)
    if holder is not None and is_alive(holder):
        if _same(holder, me):
            return
        raise RunError(f"The run {run_dir.name!r} is trained by another process already.", "Wait for it to end.")
    scratch = path.with_name(f"{FILE}.{os.getpid()}.tmp")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _same(record: dict[str, Any], now: dict[str, Any]) -> bool:
    if record["pid"] != now["pid"]:
        return False
    if "ticks" in record and "ticks" in now and "boot" in record and "boot" in now:
        return (record["boot"], record["ticks"]) == (now["boot"], now["ticks"])
    started = record.get("started")
    return isinstance(started, int | float) and abs(started - now["started"]) < _SAME_START_S
