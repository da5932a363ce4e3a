"""Small parts that every page uses: a piece of markup, a note, a warning."""

from __future__ import annotations

from typing import Any

import gradio as gr

from irtuning.errors import StudioError
from irtuning.ui.words import text


def static(markup: str = "", *, elem_id: str | None = None) -> gr.HTML:
    """Markup that does nothing by itself; a handler may put other markup in its place."""
    return gr.HTML(markup, elem_id=elem_id, apply_default_css=False, js_on_load=None)


def choice(choices: list[tuple[str, str]], **more: Any) -> gr.Dropdown:
    """One of some choices, in which nothing can be typed. A value may still be none of them: one that a link, a command or an older
    page brought is shown as it is, and what it means is checked where it is used, in words."""
    box = gr.Dropdown(choices, allow_custom_value=True, **more)
    box.filterable = False  # gradio takes the two together only so
    return box


def note(words: str) -> str:
    """Something to know, as markup; empty without words."""
    return f'<div class="ir-note" role="status">{text(words)}</div>' if words else ""


def warning(error: Exception | str) -> str:
    """What is wrong, as markup; of an error of the machine, the reason that it gives."""
    words = str(error) if isinstance(error, str | StudioError) else f"This machine could not do it: {_reason(error)}."
    return f'<div class="ir-note ir-warning" role="alert">{text(words)}</div>'


def _reason(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return said[:1].lower() + said[1:] if said else "it did not say why"
