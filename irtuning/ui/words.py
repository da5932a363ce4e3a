"""Numbers, times and texts as people read them on a page. Pure; knows no gradio.

Whatever comes from people or files passes `text` before it stands in markup.
"""

from __future__ import annotations

import html
from datetime import UTC, datetime

STATES = {
    "queued": "waits",
    "running": "trains now",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "lost": "lost",
}
"""A run's state in words."""


def text(value: object) -> str:
    """Anything as text inside markup, attributes included."""
    return html.escape(str(value), quote=True)


def label(name: object) -> str:
    """An intention's name as markup that may be broken after a slash: `Conventions/Grammar/Spelling` has no space."""
    return text(name).replace("/", "/<wbr>")


def duration(seconds: float) -> str:
    """A span of time that is estimated, rounded as one would say it: `40 s`, `14 min`, `2 h 10 min`."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours >= 10:
        return f"{round(seconds / 3600)} h"
    rest = round(rest / 10) * 10
    if rest == 60:
        hours, rest = hours + 1, 0
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def took(seconds: float) -> str:
    """A span of time that was measured, rounded as a run's header has it: `36 s`, `14 min`, `2 h 7 min`."""
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def gigabytes(gib: float) -> str:
    """Memory given in GiB, in decimal gigabytes as a run's header has it: `0.6 GB`, `21 GB`."""
    decimal = gib * 2**30 / 1e9
    return f"{decimal:.0f} GB" if decimal >= 10 else f"{max(decimal, 0.1):.1f} GB"


def score(value: float | None) -> str:
    """A figure between 0 and 1 to two places; a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"


def number(value: float) -> str:
    """A setting's value as one would type it: `0.002`, `16`, `2e-05`."""
    return f"{value:g}"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 run`, `3 runs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def ago(started: str | None, now: datetime | None = None) -> str:
    """When something happened, from an ISO time in UTC: `just now`, `5 min ago`, `yesterday`, `12 March 2026`."""
    if not started:
        return ""
    try:
        then = datetime.fromisoformat(started)
    except ValueError:
        return ""
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    now = now or datetime.now(UTC)
    seconds = (now - then).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86_400:
        return f"{int(seconds // 3600)} h ago"
    if seconds < 2 * 86_400:
        return "yesterday"
    return f"{then.day} {then:%B %Y}"


def upper_first(sentence: str) -> str:
    """The sentence with a capital at its start."""
    return sentence[:1].upper() + sentence[1:]
