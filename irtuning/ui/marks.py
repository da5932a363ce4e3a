"""A revision as running text: the words taken out and put in are marked. Markup in the texts is shown as text."""

from __future__ import annotations

from irtuning.revisions.diff import words
from irtuning.ui.words import text

_TAGS = {"delete": "del", "insert": "ins"}


def marked(before: str, after: str) -> str:
    """One paragraph of markup: what stayed, what was taken out (`del`), what was put in (`ins`)."""
    parts = []
    for op, part in words(before, after):
        tag = _TAGS.get(op)
        parts.append(_tagged(tag, part) if tag else text(part))
    return f'<p class="ir-marked">{"".join(parts)}</p>'


def _tagged(tag: str, part: str) -> str:
    """The part in its tag, white space at its ends apart: it is part of the change, but not what one looks for."""
    inside = part.strip() or part
    lead, _, tail = part.partition(inside)
    ends = [f'<{tag} class="ir-space">{space}</{tag}>' if space else "" for space in (lead, tail)]
    return f"{ends[0]}<{tag}>{text(inside)}</{tag}>{ends[1]}"
