"""How slow this machine is just now, so that limits in seconds mean the same on an old machine and on a busy one.

The figures to reach were set on two current cores; on slower ones a limit is stretched by as much as plain Python takes longer.
Knows nothing of what is tested.
"""

from __future__ import annotations

import json
import time

REFERENCE = 0.012
"""Seconds of CPU time for the work below on a core of that kind: half of what it took on a machine on which the whole suite
took twice as long."""
MOST = 4.0
"""Slower than this, a limit no longer says anything."""


def slowness() -> float:
    """Times that this machine takes as long as the one the limits were set on: at least 1, at most 4."""
    return min(MOST, max(1.0, min(_seconds() for _ in range(7)) / REFERENCE))


def _seconds() -> float:
    began = time.thread_time()
    rows = [{"step": i, "scores": [i / 7 + j for j in range(32)], "name": f"layer {i % 30}"} for i in range(200)]
    text = "\n".join(json.dumps(row) for row in rows)
    for _ in range(3):
        found = sorted((json.loads(line) for line in text.splitlines()), key=lambda row: (row["name"], -row["step"]))
        sum(score for row in found for score in row["scores"])
    return time.thread_time() - began
