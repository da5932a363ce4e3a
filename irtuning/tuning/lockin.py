"""Tells when a choice that could change has not changed for long. Pure: knows choices alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LONG = 50
"""Steps with the same choice after which it is worth a word."""
WHY = {
    "gradient": "Resting ones keep their old scores; measuring all again every few steps (refresh every) would let them back.",
    "cosine": "All are measured in every step, and these keep coming first.",
}
"""Metric -> how a choice by it comes to stand."""
FREE = ("ir", "top-k")
"""Methods whose choice follows scores and so is expected to move."""


class LockInWatch:
    """Counts how long the same units have been chosen.

    Args:
        method, metric: of the run; a choice that cannot change is not watched. settles: it is meant to stay at some time.
        unit: what the units are called.
    """

    def __init__(self, method: str, metric: str, unit: str, *, settles: bool = False) -> None:
        self._watched = method in FREE and metric in WHY and not settles
        self._unit, self._why = unit, WHY.get(metric, "")
        self._last: tuple[int, ...] = ()
        self._streak = 0

    def state_dict(self) -> dict[str, Any]:
        """The last choice and how long it has stood, plain JSON values."""
        return {"last": list(self._last), "streak": self._streak}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        self._last, self._streak = tuple(state["last"]), int(state["streak"])

    def take(self, step: int, selected: Sequence[int], units: int) -> str:
        """One sentence in the step in which a choice has stood for 50 steps, else empty."""
        chosen = tuple(selected)
        self._streak = self._streak + 1 if chosen == self._last else 1
        self._last = chosen
        if not self._watched or self._streak != LONG or len(chosen) == units:
            return ""
        return (
            f"The same {len(chosen)} of {units} {self._unit}s have trained since step {step - LONG + 1}: the choice has locked in. "
            f"{self._why}"
        )
