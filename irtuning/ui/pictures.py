"""Small pictures of runs for lists, made from their events and remembered while these do not grow. Reads the store."""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict

from irtuning.errors import StudioError
from irtuning.figures.theme import DARK, LIGHT, Theme
from irtuning.figures.thumbnail import MOST_COLUMNS, thumbnail
from irtuning.insight.columns import Columns, merge_columns
from irtuning.insight.history import RunHistory
from irtuning.runs.store import RunStore

MOST_KEPT = 500
MOST_BYTES = 16 * 2**20
"""Events beyond this are not read for a small picture: it shows the run's beginning."""


class Pictures:
    """Gives a run's small heatmap as markup: one image for light pages and one for dark ones."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._kept: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, run: str) -> str:
        """Two `img` elements, empty where the run has made no step or cannot be read."""
        try:
            size = self._store.events_path(run).stat().st_size
        except (StudioError, OSError):
            return ""
        with self._lock:
            kept = self._kept.get(run)
        if kept and kept[0] == size:
            return kept[1]
        markup = self._drawn(run, size)
        with self._lock:
            self._kept[run] = (size, markup)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return markup

    def _drawn(self, run: str, size: int) -> str:
        columns = self._columns(run, size)
        if columns is None:
            return ""
        try:
            metric = str(self._store.config(run).get("importance_metric_name"))
        except StudioError:
            return ""
        return "".join(_image(columns, theme, metric) for theme in (LIGHT, DARK))

    def _columns(self, run: str, size: int) -> Columns | None:
        history, offset = RunHistory(), 0
        while offset < min(size, MOST_BYTES):
            try:
                after, events = self._store.read_events(run, offset)
            except StudioError:
                break
            history.feed(events)
            if after <= offset:
                break
            offset = after
        return merge_columns(history, MOST_COLUMNS) if len(history) else None


def _image(columns: Columns, theme: Theme, metric: str) -> str:
    data = base64.b64encode(thumbnail(columns, theme, metric=metric)).decode("ascii")
    return f'<img class="ir-only-{theme.name}" alt="" src="data:image/png;base64,{data}">' if data else ""
