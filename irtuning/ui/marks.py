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
    """The part in its tag, white space at its ends left outside where there is more than that."""
    inside = part.strip() or part
    lead, _, tail = part.partition(inside)
    return f"{lead}<{tag}>{text(inside)}</{tag}>{tail}"
