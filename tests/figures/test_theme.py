"""Colours: the style sheet has the same ones, and trained never looks like frozen, whoever looks."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from irtuning.figures.theme import DARK, LIGHT, THEMES

CSS = Path(__file__).parents[2] / "assets" / "live.css"
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
# How the colour-blind see linear RGB, by Machado, Oliveira and Fernandes (2009), severity 1.
EYES = {
    "usual": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]),
}


def rgb(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def linear(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(values, eyes=EYES["usual"]):
    ratio = XYZ @ np.clip(eyes @ linear(values), 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def along(ramp, count=40):
    stops = np.array([rgb(colour) for colour in ramp])
    at = np.linspace(0, len(stops) - 1, count)
    return np.stack([np.interp(at, np.arange(len(stops)), stops[:, i]) for i in range(3)], axis=1)


def contrast(one, two):
    light, dark = sorted((float(XYZ[1] @ linear(rgb(colour))) for colour in (one, two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("theme", "selector"), [(LIGHT, ":root"), (DARK, ".dark")])
def test_style_sheet_has_the_same_colours(theme, selector):
    block = re.search(re.escape(selector) + r" \{(.*?)\}", CSS.read_text(), re.DOTALL).group(1)
    in_css = dict(re.findall(r"--ir-([a-z-]+): (#[0-9a-f]{6});", block))
    plain = {f.name.replace("_", "-"): getattr(theme, f.name) for f in fields(theme) if f.name not in ("name", "ramp", "frozen")}
    assert in_css == plain


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda t: t.name)
@pytest.mark.parametrize("eyes", EYES)
def test_no_trained_colour_comes_near_a_frozen_one_or_frozen_near_the_card(theme, eyes):
    trained = [lab(c, EYES[eyes]) for c in along(theme.ramp)]
    frozen = [lab(c, EYES[eyes]) for c in along(theme.frozen)]
    card = lab(rgb(theme.card), EYES[eyes])
    assert min(np.linalg.norm(a - b) for a in trained for b in frozen) >= 12
    assert min(np.linalg.norm(b - card) for b in frozen) >= 5


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda t: t.name)
def test_more_important_is_further_from_the_ground(theme):
    card = lab(rgb(theme.card))[0]
    for ramp in (theme.ramp, theme.frozen):
        away = [abs(lab(colour)[0] - card) for colour in along(ramp, 12)]
        assert away == sorted(away)


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda t: t.name)
def test_cells_are_frozen_below_the_middle_and_trained_above(theme):
    scale = theme.cells
    assert [at for at, _ in scale] == sorted(at for at, _ in scale)
    assert (scale[0][0], scale[-1][0]) == (0, 1)
    assert [colour for at, colour in scale if at <= 0.5][: len(theme.frozen)] == list(theme.frozen)
    assert [colour for at, colour in scale if at >= 0.5][-len(theme.ramp) :] == list(theme.ramp)


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda t: t.name)
def test_words_can_be_read(theme):
    for name in ("ink", "quiet", "accent_text", "warm_text", "bad"):
        assert contrast(getattr(theme, name), theme.card) >= 4.5, name
    assert contrast(theme.quiet, theme.ground) >= 4.5
    assert contrast(theme.accent_text, theme.tint) >= 4.5
    assert contrast(theme.on_accent, theme.accent) >= 4.5
