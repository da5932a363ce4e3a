"""What this machine is, learned from a short process of its own, so that nobody here has to load torch.

Knows no page. The process is started on first need and its answer kept; many may wait for it at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from irtuning import catalogue

# Not from the current folder, where a file of the user's could hide a module (-P).
ASK = (sys.executable, "-P", "-m", "irtuning.tuning.device")
SHORT = {"bfloat16": "bf16", "float32": "fp32"}


@dataclass(frozen=True)
class Machine:
    """Where runs train.

    Attributes:
        device: `cuda`, `mps` or `cpu`. name: for people. dtype: `bfloat16` or `float32`. cores: CPU cores that may be used.
        memory_gib: of the machine. gpu_memory_gib: of the accelerator, None without.
    """

    device: str
    name: str
    dtype: str
    cores: int
    memory_gib: float
    gpu_memory_gib: float | None

    @property
    def words(self) -> str:
        """As the page shows it, e.g. `2 CPU cores, bf16`."""
        return f"{self.name}, {SHORT.get(self.dtype, self.dtype)}"

    @property
    def room_gib(self) -> float:
        """Memory a run may fill: the accelerator's, else the machine's."""
        return self.gpu_memory_gib or self.memory_gib


class MachineProbe:
    """Asks once what the machine is.

    Args:
        command: what prints the answer as one JSON object on its last line.
        timeout_seconds: a process that takes longer is ended and counts as no answer.
    """

    def __init__(self, command: Sequence[str] = ASK, timeout_seconds: float = 120.0) -> None:
        self._command, self._timeout = tuple(command), timeout_seconds
        self._lock, self._done = threading.Lock(), threading.Event()
        self._started = False
        self._machine: Machine | None = None

    def start(self) -> None:
        """Starts asking; does nothing where that happened before. Returns at once."""
        with self._lock:
            if self._started:
                return
            self._started = True
        threading.Thread(target=self._ask, name="machine-probe", daemon=True).start()

    def known(self) -> Machine | None:
        """The answer, None while there is none. Returns at once."""
        return self._machine

    def wait(self, seconds: float | None = None) -> Machine | None:
        """The answer, waited for; None where there is none within `seconds` or at all."""
        self.start()
        self._done.wait(seconds)
        return self._machine

    def _ask(self) -> None:
        try:
            told = subprocess.run(
                self._command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=self._timeout,
                check=True,
                env=_environment(),
            )
            answer = json.loads(told.stdout.strip().splitlines()[-1])
            self._machine = Machine(**{field.name: answer[field.name] for field in fields(Machine)})
        except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError):
            self._machine = None
        finally:
            self._done.set()


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@lru_cache(maxsize=64)
def _found(name: str, minute: int) -> str | None:
    from irtuning.tuning.weights import find_on_machine  # loads no torch

    entry = catalogue.MODELS.get(name)
    return find_on_machine(entry) if entry else None


def model_here(name: str, now_seconds: float) -> str | None:
    """Where a catalogue model lies on this machine, as a phrase; None if it would have to come from the hub.

    Looked up once a minute at most; `now_seconds` is any clock that goes forward.
    """
    return _found(name, int(now_seconds // 60))
