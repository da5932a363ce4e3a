"""Lets processes run one at a time, in turns of some seconds: what else slows a machine down for minutes then hits all of them alike.

Knows nothing of what they do. A process that measures itself must count the time it computes, not that of the clock.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence


def take_turns(processes: Sequence[subprocess.Popen], seconds: float) -> Iterator[int]:
    """Runs processes, started already, and gives the place of each once it has ended; they are killed if this is interrupted."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    running = dict(enumerate(processes))
    try:
        while running:
            for place, process in list(running.items()):
                process.send_signal(signal.SIGCONT)
                try:
                    process.wait(seconds)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGSTOP)
                else:
                    del running[place]
                    yield place
    finally:
        for process in processes:
            process.kill()
            process.wait()
