"""Why these layers: the split that led to a step's choice, as numbers to draw and sentences to read.

Asks `tuning.selection` for the split and knows nothing of how it is shown. Everything is told from the most important layer down:
"upper k" are the k most important layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from irtuning.insight.history import RunHistory
from irtuning.insight.reasons import other_reason
from irtuning.tuning.selection import Round, Selection, select_layers


def explain(history: RunHistory, step: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Why the layers of one step were trained, and the proof that the others stood still.

    Args:
        history: the run, at least up to this step.
        step: number of the step.
        settings: the run's resolved config: tuning_method, importance_metric_name, split_num, boundary.

    Returns:
        Plain JSON values:
        step, layers (how many the model has);
        order: layers, most important first; ranked: their scores as they stood before the step, None where never measured;
        since: the step in which each was last measured, 0 where never; trained: whether each trains in this step;
        curve: curve[k-1] is the variance left by splitting off the upper k, None where no split decided;
        window: least and most k allowed; minimum: the k of least variance; kept: how many train;
        sentence: why; proof: what moved; alarm: True where a frozen layer moved.

    Raises:
        KeyError: the run has no such step (yet).
    """
    row = history.row(step)
    selected = history.selected[row]
    method = settings.get("tuning_method") or "ir"
    metric = settings.get("importance_metric_name") or "gradient"
    boundary = settings.get("boundary") or "reference"
    splits = int(settings.get("split_num") or 1)

    scores, last = _known_before(history, step, metric)
    aside = other_reason(step, selected, settings, measured=bool((last >= 0).any()))
    selection = None
    if method == "ir" and not aside and (last >= 0).any():
        selection = select_layers(scores, metric=metric, splits=splits, boundary=boundary)
    if selection is not None and selection.rounds:
        order = list(selection.rounds[0].order)
        order = order if metric == "cosine" else order[::-1]
    else:
        # Nothing was ranked by these scores: what trains stands on top, by score, then the rest.
        known = np.where(last >= 0, scores, -np.inf)
        order = sorted(range(history.layers), key=lambda layer: (not selected[layer], -known[layer], layer))
    agrees = selection is None or set(selection.layers) == set(np.flatnonzero(selected).tolist())
    split = selection.rounds[-1] if selection and selection.rounds and agrees else None
    alarm, proof = _proof(selected, history.moved[row], float(history.learning_rates[row]))
    return {
        "step": int(step),
        "layers": history.layers,
        "order": [int(layer) for layer in order],
        "ranked": [float(scores[layer]) if last[layer] >= 0 else None for layer in order],
        "since": [int(history.steps[last[layer]]) if last[layer] >= 0 else 0 for layer in order],
        "trained": [bool(selected[layer]) for layer in order],
        **_drawn(split, metric),
        "kept": int(selected.sum()),
        "unit": history.unit,
        "sentence": aside or _named(_sentence(history, selection, selected, last, metric, boundary, agrees), history.unit),
        "proof": _named(proof, history.unit),
        "alarm": alarm,
    }


def step_by_step(history: RunHistory, settings: Mapping[str, Any], steps: Sequence[int]) -> list[dict[str, Any]]:
    """What happened in each step, for checking it by hand against the method; numbers unrounded.

    Returns:
        for each step {"step", "unit", "before" (scores that it was chosen by, carried over where they were not measured in the
        step before, 1000 where never), "by" (what was ranked: `scores`, `relative scores`, which are not on record, or
        `random numbers`), "ranks" (place of each in ascending order, from 0; None where it was not these scores), "split" (the
        rounds as the event has them), "lower" (how many lay below the least variance in each round, which is where it splits or,
        by the paper's code, one further), "why" (a sentence), "selected", "measured" (None: not measured)}.

    Raises:
        KeyError: the run has no such step (yet).
    """
    found = []
    beyond = (settings.get("boundary") or "reference") == "reference"
    for step in steps:
        told = explain(history, step, settings)
        row = history.row(step)
        before, last = _known_before(history, step, settings.get("importance_metric_name") or "gradient")
        relative = (settings.get("relative_to") or "nothing") != "nothing"
        by = "random numbers" if not (last >= 0).any() else "relative scores" if relative else "scores"
        ranks = np.argsort(np.argsort(before, kind="stable"), kind="stable").tolist() if by == "scores" else None
        measured = [None if np.isnan(score) else float(score) for score in history.scores[row]]
        found.append(
            {
                "step": int(step), "unit": history.unit, "before": [float(score) for score in before], "by": by, "ranks": ranks,
                "split": history.splits[row], "lower": [int(r["rank"]) + beyond for r in history.splits[row] or ()],
                "why": told["sentence"],
                "selected": np.flatnonzero(history.selected[row]).tolist(), "measured": measured,
            }
        )  # fmt: skip
    return found


def _known_before(history: RunHistory, step: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """(scores as they stood before a step, the row in which each was measured, -1 where never), each of shape (units,)."""
    if metric == "weight":
        # Static: known before the first step.
        row = history.row(step)
        return history.scores[row], np.full(history.layers, row)
    return history.carried(step), history.last_measured(step)


def _drawn(split: Round | None, metric: str) -> dict[str, Any]:
    """A round's curve, window and minimum, counted from the most important layer down."""
    if split is None or split.window is None or split.minimum is None:
        return {"curve": None, "window": None, "minimum": None}
    n = len(split.order)
    first, last = split.window
    if metric == "cosine":
        return {"curve": list(split.curve), "window": [first + 1, last + 1], "minimum": split.minimum + 1}
    return {"curve": list(split.curve[::-1]), "window": [n - last - 1, n - first - 1], "minimum": n - split.minimum - 1}


def _sentence(
    history: RunHistory, selection: Selection | None, selected: np.ndarray, last: np.ndarray,
    metric: str, boundary: str, agrees: bool,
) -> str:
    layers, kept = history.layers, int(selected.sum())
    if selection is None:
        return "Nothing was measured yet: the first choice is random."
    if not agrees:
        return f"{kept} of {layers} layers train; the scores on record would not have led to these."
    unknown = int((last < 0).sum())
    parts = []
    if unknown == 1:
        parts.append("1 layer was never measured yet: it counts as 1000 and ranks first.")
    elif unknown:
        parts.append(f"{unknown} layers were never measured yet: they count as 1000 and rank first.")
    rounds = [split for split in selection.rounds if split.rank is not None]
    if not rounds:
        parts.append(f"With {_layers(layers)} there is nothing to split: all train.")
    elif len(rounds) > 1:
        steps = [f"split {number} keeps {len(split.layers)} of {len(split.order)}"
                 for number, split in enumerate(rounds, start=1)]
        text = ", ".join(steps)
        parts.append(f"{text[0].upper()}{text[1:]}: {kept} of {layers} layers train.")
    else:
        parts.append(_one_split(rounds[0], layers, kept, metric, boundary))
    return " ".join(parts)


def _one_split(split: Round, layers: int, kept: int, metric: str, boundary: str) -> str:
    assert split.minimum is not None
    low = split.minimum + 1
    least = f"Least variance: the lower {low} against the upper {layers - low}."
    if boundary == "exact":
        return f"{least} The {'lower' if metric == 'cosine' else 'upper'} {kept} of {layers} train."
    return f"{least} The paper's code trains one layer {'fewer' if metric == 'cosine' else 'more'}: {kept} of {layers}."


def _proof(selected: np.ndarray, moved: np.ndarray, rate: float) -> tuple[bool, str]:
    """Whether something is wrong, and what moved and what did not, as a sentence."""
    escaped = np.flatnonzero(moved & ~selected).tolist()
    if escaped:
        names = ", ".join(str(layer) for layer in escaped)
        return True, f"Frozen, yet moved: {'layer' if len(escaped) == 1 else 'layers'} {names}. This must not happen."
    frozen, trained, went = int((~selected).sum()), int(selected.sum()), int(moved.sum())
    still = f"{_layers(frozen)} frozen in this step: not one of {'its' if frozen == 1 else 'their'} weights moved."
    if not trained:
        return False, f"{still} None trained."
    if not went:
        why = "the warm-up's learning rate is still 0." if rate == 0 else "no trained layer's weights changed."
        return False, f"Nothing moved in this step: {why}"
    if went < trained:
        rest = f"Of the {trained} trained ones {went} moved."
    elif frozen:
        rest = "The trained one did." if trained == 1 else f"The {trained} trained ones did."
    else:
        return False, "The one layer trained and moved." if trained == 1 else f"All {trained} layers trained, and all moved."
    return False, f"{still} {rest}" if frozen else rest


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"


def _named(text: str, unit: str) -> str:
    """A sentence about layers, said of what is chosen."""
    return text.replace("layer", unit)
