"""What a live view in a browser is told: events as small plain answers. Pure; knows no store and no page.

To append, with keys only for what is new; or the whole run, merged into columns that fit a picture:

    {"steps": [...], "evaluations": [...], "notices": [...], "phase": {...}, "began": seconds, "ending": {...}}
    {"columns": {...}, "tail": [...], "evaluations": [...], "notices": [...], "now": seconds, "phase": {...}, "began": seconds,
     "ending": {...}}

`began` is when the waiting was over.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from irtuning.events import ENDINGS
from irtuning.insight.columns import Columns, merge_columns
from irtuning.insight.history import RunHistory

MOST_NOTICES, MOST_TEXT, MOST_EVALUATIONS = 12, 400, 400
TAIL = 24
"""Latest single steps that a reset carries, for speed, memory and time left."""


def appended(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """New events as the keys of an answer; only what there is."""
    answer: dict[str, Any] = {}
    for event in events:
        kind = event["kind"]
        if kind == "step":
            answer.setdefault("steps", []).append(step_row(event))
        elif kind == "evaluated":
            answer.setdefault("evaluations", []).append(evaluation_row(event))
        elif kind == "phase":
            answer["phase"] = {**_phase(event), "time": event["time"]}
            if event["name"] != "waiting":
                answer.setdefault("began", event["time"])
        elif kind == "notice":
            answer.setdefault("notices", []).append(_notice(event))
        elif kind in ENDINGS:
            answer["ending"] = _ending(event)
    return answer


def whole(history: RunHistory, now: float) -> dict[str, Any]:
    """A run so far as the keys of a reset; bounded however long it is."""
    phase = history.phases[-1] if history.phases else None
    first = max(0, len(history) - TAIL)
    answer: dict[str, Any] = {
        "columns": columns_packed(merge_columns(history)),
        "tail": [
            [int(history.steps[i]), rounded(history.times[i], 7), rounded(history.losses[i]), rounded(history.seconds[i]),
             rounded(history.memory_mib[i])]
            for i in range(first, len(history))
        ],
        "evaluations": [evaluation_row(event) for event in _thinned(history.evaluations)],
        "notices": [_notice(event) for event in history.notices[-MOST_NOTICES:]],
        "now": _seconds_since(history.started, now),
    }
    if phase:
        answer["phase"] = {**_phase(phase), "time": phase["time"]}
    if (began := next((p["time"] for p in history.phases if p["name"] != "waiting"), None)) is not None:
        answer["began"] = began
    if history.ending:
        answer["ending"] = _ending(history.ending)
    return answer


def step_row(event: dict[str, Any]) -> list[Any]:
    """[step, time, loss, seconds, memory, trained as hex, measured as hex or "" where the same, scores of the measured]."""
    scores = event["scores"]
    chosen = set(event["selected"])
    trained = mask_hex([layer in chosen for layer in range(len(scores))])
    measured = mask_hex([score is not None for score in scores])
    return [
        event["step"], rounded(event["time"], 7), rounded(event["loss"]), rounded(event["seconds"]),
        rounded(event["memory_mib"]), trained, "" if measured == trained else measured,
        [rounded(score) for score in scores if score is not None],
    ]


def evaluation_row(event: dict[str, Any]) -> list[Any]:
    """[step, subset, of, macro-F1]."""
    return [event["step"], event["subset"], event["of"], rounded(event["metrics"].get("macro_f1"))]


def columns_packed(columns: Columns) -> dict[str, Any]:
    """Columns as base64 of little-endian numbers, column after column: float32 (NaN: not measured) and uint16 counts."""
    return {
        "width": columns.width,
        "first": int(columns.edges[0]),
        "end": int(columns.edges[-1]),
        "norms": _packed(columns.norms, "<f4"),
        "trained": _packed(columns.trained, "<u2"),
        "medians": _packed(columns.medians, "<f4"),
        "losses": _packed(columns.losses, "<f4"),
    }


def mask_hex(flags: Sequence[bool]) -> str:
    """Flags as hexadecimal digits, four a digit, the first flag the highest bit; padded with zeros at the end."""
    bits = "".join("1" if flag else "0" for flag in flags)
    bits += "0" * (-len(bits) % 4)
    return f"{int(bits, 2):0{len(bits) // 4}x}" if bits else ""


def rounded(value: float | None, digits: int = 4) -> float | None:
    """A number to some significant digits; None for what is no finite number."""
    if value is None or not np.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def _packed(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode("ascii")


def _thinned(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `MOST_EVALUATIONS`, evenly chosen, the last one of each kind kept."""
    if len(events) <= MOST_EVALUATIONS:
        return list(events)
    every = -(-len(events) // MOST_EVALUATIONS)
    last = {(event["subset"], event["of"]): index for index, event in enumerate(events)}
    return [event for index, event in enumerate(events) if index % every == 0 or index in last.values()]


def _phase(event: dict[str, Any]) -> dict[str, Any]:
    return {"name": event["name"], "text": str(event.get("text") or "")[:MOST_TEXT]}


def _notice(event: dict[str, Any]) -> dict[str, Any]:
    return {"level": event.get("level", "info"), "text": str(event["text"])[:MOST_TEXT]}


def _ending(event: dict[str, Any]) -> dict[str, Any]:
    return {"kind": event["kind"], "what": str(event.get("what", ""))[:MOST_TEXT],
            "advice": str(event.get("advice", ""))[:MOST_TEXT], "time": event["time"]}


def _seconds_since(started: str | None, now: float) -> float | None:
    """Seconds from a run's wall-clock start to now, None where it is unknown."""
    try:
        return round(now - datetime.fromisoformat(started or "").timestamp(), 3)
    except ValueError:
        return None
