"""How a run is made to stop: asked, told, killed. Deciding is pure, acting sends signals.

What has been done stands in the run's file `stop`, so whoever looks next goes on from there. Knows no queue.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from irtuning.runs.description import read_json, write_json
from irtuning.runs.process import is_alive, read_process
from irtuning.runs.status import BEFORE_TRAINING
from irtuning.tuning.checkpoints import FOLDER as CHECKPOINTS
from irtuning.tuning.checkpoints import latest_step

FILE = "stop"


@dataclass(frozen=True)
class Grace:
    """Seconds that a run is given; `early` before it trains, when it has nothing to save.

    Attributes:
        terminate: from the request to SIGTERM. kill: from SIGTERM to SIGKILL.
    """

    terminate: float = 20.0
    kill: float = 10.0
    early_terminate: float = 3.0
    early_kill: float = 1.5


GRACE = Grace()


def stop_requested(run_dir: Path) -> bool:
    """Whether somebody asked the run of a folder to stop."""
    return (run_dir / FILE).exists()


def ask(run_dir: Path) -> None:
    """Asks the run of a folder to stop; asking again changes nothing."""
    if not stop_requested(run_dir):
        write_json(run_dir / FILE, {"asked": time.time()})


def forget(run_dir: Path) -> None:
    """Takes a request to stop back: the run goes on."""
    (run_dir / FILE).unlink(missing_ok=True)


def due(waited: float, told: float | None, phase: str, grace: Grace) -> Literal["wait", "terminate", "kill"]:
    """What is to be done now about a run that lives on.

    Args:
        waited: seconds since it was asked. told: seconds since SIGTERM, None before it.
        phase: the one it is in.
    """
    early = phase in BEFORE_TRAINING
    if told is not None:
        return "kill" if told >= (grace.early_kill if early else grace.kill) else "wait"
    return "terminate" if waited >= (grace.early_terminate if early else grace.terminate) else "wait"


def press(run_dir: Path, phase: str, grace: Grace, now: float) -> None:
    """Does what is due about the run of a folder that was asked to stop and still lives; `now`: seconds since 1970."""
    path = run_dir / FILE
    request = read_json(path)
    asked, told = request.get("asked"), request.get("told")
    if not isinstance(asked, int | float):
        try:
            asked = path.stat().st_mtime  # somebody made the file by hand
        except OSError:
            return
    step = due(now - asked, now - told if isinstance(told, int | float) else None, phase, grace)
    if step == "terminate":
        write_json(path, {"asked": asked, "told": now})
        _signal(run_dir, signal.SIGTERM)
    elif step == "kill":
        _signal(run_dir, signal.SIGKILL)


def kept(run_dir: Path) -> str:
    """A sentence on what a run that was killed leaves behind."""
    if _adapter(run_dir).is_file():
        return "The adapter that it saved last is kept."
    return "No adapter was saved."


def ended_early(run_dir: Path) -> str:
    """A sentence on a run that was stopped before it made a step; one that was taken up again may have an adapter."""
    if latest_step(run_dir / CHECKPOINTS) or _adapter(run_dir).is_file():
        return f"The run was stopped before it went on. {kept(run_dir)}"
    return "The run was stopped before its first step; there is no adapter."


def _adapter(run_dir: Path) -> Path:
    return run_dir / "adapter" / "adapter_model.safetensors"


def _signal(run_dir: Path, number: signal.Signals) -> None:
    record: dict[str, Any] | None = read_process(run_dir)
    if not is_alive(record):
        return
    pid = record["pid"]
    with contextlib.suppress(ProcessLookupError, PermissionError):
        # A worker leads a session of its own; a run from a terminal shares its group with others, which are spared.
        if number == signal.SIGKILL and os.getsid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


class StopSignal:
    """Whether the run was asked to stop: by signal or by its stop file."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._asked = threading.Event()

    def listen(self) -> None:
        """Takes SIGTERM, SIGINT and a terminal that is closed as requests to stop; a second one ends the process at once, but a
        terminal that is closed tells so more than once: its shell does, and the kernel."""
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # Under nohup a closed terminal is nothing.
            if name != signal.SIGHUP or signal.getsignal(name) != signal.SIG_IGN:
                signal.signal(name, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        if self._asked.is_set() and number != signal.SIGHUP:
            raise KeyboardInterrupt
        self._asked.set()

    def __call__(self) -> bool:
        return self._asked.is_set() or stop_requested(self._run_dir)
