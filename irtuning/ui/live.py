"""The live view of a run: one gr.HTML whose JavaScript (assets/live) owns the pictures and asks here for what is new.

Its value is a run's id, or "". The browser keeps the offset; nothing here belongs to a session. The functions below are open
endpoints, so their arguments are checked like any other's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from irtuning.errors import RunError
from irtuning.figures.live import live_figure
from irtuning.figures.theme import THEMES
from irtuning.figures.why import why_figure
from irtuning.ui.updates import RunReader, Store, failure

UNITS = ("layer", "block", "module")
"""What a row of the picture may be."""

ASSETS = Path(__file__).parents[2] / "assets"
SCRIPTS = ("numbers", "series", "chart", "why", "key", "header", "pointer", "scaffold", "drawing", "explaining", "view")
"""Parts of the script in assets/live, in their order; they share one scope."""
LIVE_CSS = ASSETS / "live.css"
MOST_LAYERS, MOST_STEPS = 1024, 100_000_000
MOST_WAIT = 5_000
"""Milliseconds that a question may wait for something new."""

Stop = Callable[[str], Any]
"""Asks a run to stop; gives its state, or an object with one."""


def live_view(
    store: Store, *, stop: Stop | None = None, elem_id: str = "live", value: str = "", links: bool = True
) -> gr.HTML:
    """The live view; set its value to a run's id to show that run, to "" to show none.

    Args:
        store: where runs live.
        stop: what the Stop button does; without it there is none.
        elem_id: of the component in the page.
        value: the run shown first.
        links: whether an ended run offers to try its adapter and to be opened among the runs (`irtuning:open` events).
    """
    reader = RunReader(store)

    async def poll(question: Any) -> dict[str, Any]:
        """{"run", "offset", "wait": milliseconds} -> what is new, as soon as there is something or the wait is over."""
        try:
            run, offset = _run(question), _whole(question, "offset", 0, 2**53 - 1)
            await reader.wait(run, offset, _whole(question, "wait", 0, MOST_WAIT) / 1000)
            return await asyncio.to_thread(reader.poll, run, offset)
        except Exception as error:
            return failure(error)

    def explain_step(question: Any) -> dict[str, Any]:
        """{"run", "step"} -> why these layers."""
        return _answer(lambda: reader.explain(_run(question), _whole(question, "step", 0, MOST_STEPS)))

    def skeletons(question: Any) -> dict[str, Any]:
        """{"layers", "steps", "theme", "wide", "unit"} -> the two empty figures."""
        return _answer(lambda: _skeletons(question))

    def stop_run(question: Any) -> dict[str, Any]:
        """{"run"} -> {"state"}."""
        return _answer(lambda: _stopped(stop, _run(question)))

    gr.set_static_paths([plotly_script()])
    return gr.HTML(
        value=value,
        html_template='<div class="ir-live"></div>',
        js_on_load=script(),
        server_functions=[poll, explain_step, skeletons, stop_run],
        elem_id=elem_id,
        elem_classes=["ir-live-host"],
        apply_default_css=False,
        plotly=f"gradio_api/file={plotly_script().as_posix()}",
        stoppable=stop is not None,
        linked=links,
    )


@cache
def plotly_script() -> Path:
    """The JavaScript that comes with the installed plotly package; found without importing it."""
    from importlib.util import find_spec

    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise RunError("The package plotly is not installed.", "Install requirements.txt.")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


@cache
def script() -> str:
    """The view's JavaScript, one scope made of its parts."""
    return "\n".join((ASSETS / "live" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


@lru_cache(maxsize=64)
def _figures(layers: int, steps: int, theme: str, wide: bool, unit: str) -> str:
    return json.dumps({
        "live": live_figure(layers=layers, steps=steps, theme=THEMES[theme], wide=wide, unit=unit),
        "why": why_figure(layers=layers, theme=THEMES[theme], wide=wide),
    })


def _answer(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return make()
    except Exception as error:
        return failure(error)


def _skeletons(question: Any) -> dict[str, Any]:
    theme = question.get("theme") if isinstance(question, dict) else None
    return json.loads(_figures(
        _whole(question, "layers", 1, MOST_LAYERS), _whole(question, "steps", 1, MOST_STEPS),
        theme if isinstance(theme, str) and theme in THEMES else "light", question.get("wide") is not False,
        unit if (unit := question.get("unit")) in UNITS else UNITS[0],
    ))


def _stopped(stop: Stop | None, run: str) -> dict[str, Any]:
    if stop is None:
        raise RunError("Runs cannot be stopped from here.")
    state = stop(run)
    return {"state": state["state"] if isinstance(state, dict) else state}


def _run(question: Any) -> str:
    run = question.get("run") if isinstance(question, dict) else None
    if not isinstance(run, str) or not run or len(run) > 64:
        raise RunError("Name a run by its id.")
    return run


def _whole(question: Any, name: str, least: int, most: int) -> int:
    value = question.get(name) if isinstance(question, dict) else None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RunError(f"{name.capitalize()} must be a whole number from {least} to {most}.")
    return value
