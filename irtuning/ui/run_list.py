"""The list of runs as markup: a small picture one recognises at a glance, a name, a state, and what came out.

Pure; knows no gradio and no store. A row is a button whose `data-run` names its run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from irtuning import catalogue
from irtuning.ui.form import METHODS
from irtuning.ui.words import STATES, ago, score, text

MOST_ROWS = 60
EMPTY = '<div class="ir-empty">No run yet. Start one on the Train page: it appears here, with its picture and its figures.</div>'


def run_list(rows: Sequence[Mapping[str, Any]], picture: Callable[[str], str]) -> str:
    """Runs as rows, newest first as given: at most the newest 60 of one's own, and the recorded ones.

    Args:
        picture: a run's id -> its small heatmap as markup, empty where there is none yet.
    """
    if not rows:
        return EMPTY
    own = [row for row in rows if not row["recorded"]]
    recorded = [row for row in rows if row["recorded"]]
    shown = "".join(run_row(row, picture(row["run"])) for row in [*own[:MOST_ROWS], *recorded])
    left = len(own) - MOST_ROWS
    more = f'<p class="ir-quiet">{left} older runs are not listed; their folders are still there.</p>' if left > 0 else ""
    return f'<div class="ir-runs">{shown}</div>{more}'


def stamp(rows: Sequence[Mapping[str, Any]]) -> str:
    """A short text that changes when a run comes, goes, changes its state or has made ten more steps."""
    seen = [(row["run"], row["state"], row["step"] // 10) for row in rows]
    return hashlib.blake2s(repr(seen).encode(), digest_size=16).hexdigest()


def run_row(row: Mapping[str, Any], picture: str) -> str:
    """One run."""
    badge = '<span class="ir-badge">recorded</span>' if row.get("recorded") else ""
    facts = " · ".join(text(part) for part in (
        title_of(catalogue.MODELS, row.get("model")), title_of(catalogue.CORPORA, row.get("corpus")).partition(",")[0],
        METHODS.get(row.get("method") or "", row.get("method") or ""), "" if row.get("recorded") else ago(row.get("started")),
    ) if part)
    return (
        f'<button type="button" class="ir-run" data-run="{text(row["run"])}">'
        f'<span class="ir-thumb" aria-hidden="true">{picture}</span>'
        f'<span class="ir-run-words"><span class="ir-run-name">{text(row["name"])}{badge}'
        f'<span class="ir-state ir-state-{text(row["state"])}">{text(STATES.get(row["state"], row["state"]))}</span></span>'
        f'<span class="ir-quiet">{facts}</span>{_why(row)}</span>'
        f'<span class="ir-run-score">{scores(row.get("metrics"), row.get("floor"))}</span></button>'
    )


def _why(row: Mapping[str, Any]) -> str:
    """Why a run did not come to its own end, where it did not."""
    if row["state"] in ("lost", "failed"):
        words = " ".join(part for part in (row.get("what"), row.get("advice")) if part)
    else:
        return ""
    return f'<span class="ir-run-why">{text(words)}</span>'


def scores(network: Mapping[str, Any] | None, floor: Mapping[str, Any] | None) -> str:
    """Macro-F1 beside that of the bag of edits; empty where the run has none."""
    if not network:
        return ""
    beside = f' <span class="ir-quiet">bag of edits {score(floor.get("macro_f1"))}</span>' if floor else ""
    return f'<span class="ir-quiet">macro-F1</span> <strong>{score(network.get("macro_f1"))}</strong>{beside}'


def title_of(entries: Mapping[str, Any], name: str | None) -> str:
    """A catalogue entry's title, else the name itself."""
    entry = entries.get(name or "")
    return entry.title if entry else name or ""
