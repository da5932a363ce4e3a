"""All colours and sizes of the pictures, as plain data. `assets/live.css` has the same colours as custom properties (a test compares).

Vivid ramps say "trained", quiet ramps "frozen"; in both themes more important is further from the ground.
"""

from __future__ import annotations

from dataclasses import dataclass

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', 'Helvetica Neue', Arial, sans-serif"
SMALL = 12
"""Pixels of the smallest text."""


@dataclass(frozen=True)
class Theme:
    """Colours of one theme, as hex.

    Attributes:
        ground: behind the cards. card: of a card. ink, quiet: text. line: hairlines. accent: what is chosen. on_accent: text on it.
        tint: behind a chosen or spoken thing. warm: loss and variance. bad: what went wrong.
        accent_text, warm_text: those two where they are words, dark or light enough to read.
        bar: how often a layer was trained. shade: the window a split may fall in. faint: raw loss.
        frozen_bar: the score of a frozen layer, as a bar.
        ramp: trained, from unimportant to important. frozen: likewise.
    """

    name: str
    ground: str
    card: str
    ink: str
    quiet: str
    line: str
    accent: str
    on_accent: str
    tint: str
    warm: str
    accent_text: str
    warm_text: str
    bad: str
    bar: str
    shade: str
    faint: str
    frozen_bar: str
    ramp: tuple[str, ...]
    frozen: tuple[str, ...]

    @property
    def cells(self) -> list[list[float | str]]:
        """A plotly colour scale whose lower half is the frozen ramp and whose upper half the trained one."""
        low = [[0.5 * i / (len(self.frozen) - 1), colour] for i, colour in enumerate(self.frozen)]
        return low + [[0.5 + 0.5 * i / (len(self.ramp) - 1), colour] for i, colour in enumerate(self.ramp)]


LIGHT = Theme(
    name="light", ground="#f6f7fa", card="#ffffff", ink="#1d2433", quiet="#5b6475", line="#e3e6ee",
    accent="#1f7f97", on_accent="#ffffff", tint="#eaf4f6", warm="#e0803a", accent_text="#17697e", warm_text="#a8541a", bad="#b3261e",
    bar="#6b7488", shade="#ebecef", faint="#c9cedb", frozen_bar="#d3d8e3",
    ramp=("#74c0bb", "#35a3a8", "#1f6f97", "#27305f"), frozen=("#eceef3", "#d3d9e4"),
)
DARK = Theme(
    name="dark", ground="#0c0f17", card="#11151f", ink="#e8eaf0", quiet="#9aa3b5", line="#252c3b",
    accent="#2aa5a0", on_accent="#0c0f17", tint="#14262b", warm="#e0803a", accent_text="#4cc4bf", warm_text="#eb9a5e", bad="#ff8a80",
    bar="#8b93a7", shade="#212631", faint="#474f63", frozen_bar="#3d455e",
    ramp=("#2f6fb5", "#2aa5a0", "#8fd14f", "#fde725"), frozen=("#202738", "#414a66"),
)
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}
