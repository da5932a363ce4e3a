"""Which choices of a run go together. Pure: names and plain values; it knows neither the class of a run nor any model.

An option that a method, a metric or an adapter would not read is refused where somebody set it, and left out where it only
came from a default.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

READ_BY: dict[str, dict[str, tuple[str, ...]]] = {
    "tuning_method": {
        "split_num": ("ir",),
        "boundary": ("ir",),
        "budget": ("ir",),
        "settle_after": ("ir",),
        "cache_prefix": ("ir", "rst", "ist", "lisa", "top-k", "fixed"),
        "refresh_every": ("ir", "top-k"),
        "relative_to": ("ir", "top-k"),
        "explore": ("ir", "top-k"),
        "layer_count": ("rst", "ist", "lisa", "top-k"),
        "layers": ("fixed",),
        "lisa_interval": ("lisa",),
    },
    "importance_metric_name": {
        "budget": ("gradient",),
        "settle_after": ("gradient",),
        "cache_prefix": ("gradient", "weight"),
        "refresh_every": ("gradient",),
        "relative_to": ("gradient",),
    },
    "adapter_name": {
        "lora_r": ("lora", "dora"),
        "lora_alpha": ("lora", "dora"),
        "lora_dropout": ("lora", "dora"),
        "bottleneck_width": ("bottleneck",),
    },
}
"""Chooser -> option -> values of the chooser with which the option is read."""

INSTEAD_OF: dict[str, dict[str, Any]] = {
    "budget": {"split_num": 1, "boundary": "reference", "explore": 0.0},
    "settle_after": {"refresh_every": 0},
}
"""Option -> options that it takes the place of, with the values that ask for nothing else."""

RESTING = 10
"""Steps for which layers must have rested before what comes out of them is worth keeping."""
WHOLE_EVERY = 4
"""With a budget, all layers train once in so many steps where nothing else is said."""

NEUTRAL = {"refresh_every": 0, "cache_prefix": False, "explore": 0.0, "relative_to": "nothing", "selection_unit": "layer"}
"""Values that ask for nothing."""


def fault(values: Mapping[str, Any]) -> str | None:
    """One sentence why these choices do not go together, None where they do. Choices that are absent or None are open."""
    for chooser, options in READ_BY.items():
        chosen = values.get(chooser)
        if chosen is None:
            continue
        for name, readers in options.items():
            if _set(values, name) and chosen not in readers:
                return f"{_words(name)} is not used by {_words(chooser)} {chosen}, only by {_list(readers)}"
    if _set(values, "selection_unit") and values.get("importance_metric_name") in ("cosine", "weight"):
        return f"{values['importance_metric_name']} importance is measured for whole layers: set selection unit to layer"
    if _set(values, "settle_after") and values.get("budget") is None:
        return "settle after needs a budget for the steps that follow: set budget below 1, e.g. 0.67"
    if _set(values, "cache_prefix") and (every := _whole_step_every(values)) and every <= RESTING:
        return (
            f"cache prefix, which skips resting layers, finds none that rest for more than {RESTING} steps where all train every "
            f"{every}: {'settle (settle after)' if values.get('budget') is not None else 'measure all more rarely (refresh every)'}, "
            "or leave it out"
        )
    if _set(values, "cache_prefix") and values.get("tuning_method") == "fixed" and 0 in named_units(values.get("layers") or ""):
        return "cache prefix keeps what comes out of layers below the lowest that trains, and layer 0 is named: leave one out"
    if _set(values, "settle_after") and values.get("relative_to") == "own-mean":
        return "relative to own-mean tells no unit from another in mean scores, by which settle after chooses: leave one out"
    for option, others in INSTEAD_OF.items():
        for name, usual in others.items():
            if values.get(option) is not None and values.get(name) not in (None, usual):
                return f"{_words(name)} is not used with {_words(option)}: leave one out"
    if values.get("encoding") is not None and (values.get("use_instruction") or values.get("instruction")):
        return "an encoding is for pairs without an instruction, and one is used here: leave one out"
    if text := values.get("instruction"):
        if "{marked}" not in text and ("{before}" not in text or "{after}" not in text):
            return "an instruction needs the fields {before} and {after}, or {marked}"
        if values.get("use_instruction") is False:
            return "an instruction of your own is given, and use instruction is switched off: leave one out"
    if values.get("load_8bit") and values.get("load_4bit"):
        return "a model is loaded in 8 bit or in 4 bit, not both"
    if values.get("tuning_method") == "fixed" and values.get("layers") is None:
        return "tuning method fixed trains the units you name: set layers, e.g. 0,3-5"
    return None


def applicable(values: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """The values without those that nobody set and that nothing would read.

    An encoding that somebody set switches off an instruction that nobody did.
    """
    if "encoding" in given and not {"use_instruction", "instruction"} & set(given):
        values = {**values, "use_instruction": False}
    unread = {"encoding"} if values.get("use_instruction") or values.get("instruction") else set()
    unread |= {
        name
        for chooser, options in READ_BY.items()
        for name, readers in options.items()
        if values.get(chooser) is not None and values[chooser] not in readers
    }
    return {name: value for name, value in values.items() if name in given or name not in unread}


def named_units(text: str) -> list[int]:
    """The units that a text like `0,3-5` names: 0, 3, 4, 5."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _whole_step_every(values: Mapping[str, Any]) -> int:
    """Once in how many steps all layers train; 0 where that does not come again and again."""
    if values.get("settle_after") is not None:
        return 0
    return values.get("refresh_every") or (WHOLE_EVERY if values.get("budget") is not None else 0)


def _set(values: Mapping[str, Any], name: str) -> bool:
    value = values.get(name)
    return value is not None and value != NEUTRAL.get(name, ...)


def _words(name: str) -> str:
    return name.removesuffix("_name").replace("_", " ")


def _list(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
