"""Why some units train in a step where it was not the split of plain scores that decided. Pure: settings in, a sentence out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

RELATIVES = {
    "own-mean": "its own running mean",
    "weight-norm": "the norm of its frozen weights",
    "parameters": "its number of adapter parameters",
}


def other_reason(step: int, selected: np.ndarray, settings: Mapping[str, Any], *, measured: bool = True) -> str:
    """One sentence, empty where the split of the scores as they stood decides.

    Args:
        step: number of the step, from 1. selected: what trains, shape (units,), bool.
        settings: the run's resolved config. measured: whether any score was on record when it was chosen.
    """
    kept, units = int(selected.sum()), len(selected)
    unit = str(settings.get("selection_unit") or "layer")
    of = f"{kept} of {units} {unit}s"
    method = settings.get("tuning_method") or "ir"
    if method == "full":
        return f"Every {unit} trains at every step."
    if method == "fixed":
        return f"{of}, named before the start, train at every step."
    if method == "rst":
        return f"{of} train, drawn at random anew for each step."
    if method == "lisa":
        return f"{of} train, drawn at random and kept for {settings.get('lisa_interval') or 1} steps."
    if method == "ist":
        return f"{of} train, drawn at random; those whose damping hurt the loss least are drawn more rarely."
    every = int(settings.get("refresh_every") or 0)
    budget = settings.get("budget")
    if settle := settings.get("settle_after"):
        if kept == units:
            return f"Every {unit} trains and is measured in the first {float(settle):.0%} of the run; then the choice is made for good."
        allowed = f"{float(budget or 1):.0%} of a full step's time"
        return f"{of} train for the rest of the run: the most importance, by mean score, within {allowed}."
    if budget:
        if kept == units:
            return f"A whole step: every {unit} trains and is measured, so that low ones get their turn."
        return f"{of} train: the most importance within {float(budget):.0%} of a full step's time on average."
    if every and (step - 1) % every == 0 and kept == units:
        return f"Every {unit} trains and is measured in one of {every} steps; this is such a step."
    if not measured:
        return f"Nothing was measured yet: {of} train, drawn at random." if method == "top-k" else ""
    relative = RELATIVES.get(str(settings.get("relative_to")))
    ranked = f"each score relative to {relative}" if relative else ""
    explored = f"{float(settings['explore']):.0%} of the choice exchanged at random" if settings.get("explore") else ""
    if method == "top-k":
        best = "lowest" if settings.get("importance_metric_name") == "cosine" else "highest"
        return f"{of} of the {best} scores train{''.join(f', {text}' for text in (ranked, explored) if text)}."
    if ranked or explored:
        return f"{of} train by the split, {' and '.join(text for text in (ranked, explored) if text)}."
    return ""
