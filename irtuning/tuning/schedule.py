"""When a run scores its validation part. Pure; loads no torch, so that what a run will take can be foretold by the same rule."""

from __future__ import annotations

TIMES = 6
"""Evaluations in a run at most: enough to see a curve and to catch the best weights."""
SHARE = 0.2
"""Evaluating may cost this part of training at most, but for the one evaluation at the end."""
FORWARD_SHARE = 1 / 3
"""A row that is only read costs this part of one that is learnt from."""


def evaluation_steps(steps: int, rows_a_step: int, validation_rows: int) -> list[int]:
    """Steps after which to evaluate: evenly spread, the last step always among them."""
    affordable = int(SHARE * steps * rows_a_step / max(1.0, FORWARD_SHARE * validation_rows))
    times = max(1, min(TIMES, affordable, steps))
    return sorted({max(1, round(steps * i / times)) for i in range(1, times + 1)})
