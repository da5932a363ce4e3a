"""Lets processes run one at a time, in turns of some seconds: what else slows a machine down for minutes then hits all of them alike.

Knows nothing of what they do. A process that measures itself must count the time it computes, not that of the clock.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence


def take_turns(processes: Sequence[subprocess.Popen], seconds: float) -> None:
    """Runs processes, started already, until all have ended; they are killed if this is interrupted."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        while running := [process for process in processes if process.poll() is None]:
            for process in running:
                process.send_signal(signal.SIGCONT)
                try:
                    process.wait(seconds)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGSTOP)
    finally:
        for process in processes:
            process.kill()
            process.wait()
