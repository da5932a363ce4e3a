"""gradio's theme in the studio's colours, and the files of style and script that a page loads. Fonts are the visitor's own."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from irtuning.figures.theme import DARK, FONT, LIGHT

ASSETS = Path(__file__).resolve().parents[2] / "assets"
FAVICON = ASSETS / "favicon.svg"
STYLES = [ASSETS / "live.css", ASSETS / "style.css"]
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

_COLOURS = {
    "ground": ("body_background_fill",),
    "card": ("background_fill_primary", "block_background_fill", "input_background_fill", "panel_background_fill",
             "button_secondary_background_fill", "code_background_fill", "checkbox_background_color"),
    "tint": ("background_fill_secondary", "button_secondary_background_fill_hover", "color_accent_soft",
             "table_row_focus"),
    "ink": ("body_text_color", "block_title_text_color", "button_secondary_text_color", "accordion_text_color",
            "button_secondary_text_color_hover"),
    "quiet": ("body_text_color_subdued", "block_info_text_color", "block_label_text_color", "input_placeholder_color"),
    "line": ("border_color_primary", "block_border_color", "input_border_color", "button_secondary_border_color",
             "panel_border_color"),
    "accent": ("border_color_accent", "link_text_color", "link_text_color_hover", "link_text_color_visited",
               "link_text_color_active", "button_primary_background_fill", "button_primary_background_fill_hover",
               "button_primary_border_color", "button_primary_border_color_hover", "input_border_color_focus",
               "button_secondary_border_color_hover", "loader_color", "checkbox_background_color_selected"),
    "on_accent": ("button_primary_text_color", "button_primary_text_color_hover"),
}
_PLAIN = {
    "body_text_size": "15px", "block_shadow": "none", "input_shadow": "none", "input_shadow_focus": "none",
    "button_primary_shadow": "none", "button_primary_shadow_hover": "none", "button_primary_shadow_active": "none",
    "button_secondary_shadow": "none", "button_secondary_shadow_hover": "none", "button_secondary_shadow_active": "none",
    "button_transform_hover": "none", "button_transform_active": "none", "block_border_width": "0px",
    "block_padding": "0px", "layout_gap": "10px", "form_gap_width": "0px", "input_text_size": "15px",
    "block_title_text_size": "13px", "block_info_text_size": "13px", "block_title_text_weight": "400",
    "block_title_padding": "0", "block_radius": "10px", "container_radius": "10px", "input_radius": "8px",
    "button_large_radius": "8px", "button_medium_radius": "8px", "button_small_radius": "8px",
    "button_large_text_weight": "600", "button_medium_text_weight": "600", "button_small_text_weight": "600",
    "button_large_text_size": "15px", "button_medium_text_size": "15px", "button_small_text_size": "14px",
    "button_border_width": "1px", "input_padding": "8px 10px",
}


def theme() -> gr.themes.Base:
    """The theme, light and dark."""
    values = dict(_PLAIN)
    for colour, names in _COLOURS.items():
        for name in names:
            values[name] = getattr(LIGHT, colour)
            values[f"{name}_dark"] = getattr(DARK, colour)
    values["color_accent"] = LIGHT.accent
    return gr.themes.Base(font=_families(FONT), font_mono=_families(MONO)).set(**values)


def _families(stack: str) -> list[str]:
    """Names of a CSS font stack, as gradio takes them: plain strings are never fetched."""
    return [name.strip().strip("'") for name in stack.split(",")]


def head() -> str:
    """Markup for the page's head: the script that the pages' components call, inline so that it is there before them."""
    return f"<script>{(ASSETS / 'shell.js').read_text(encoding='utf-8')}</script>"
