"""Data sets of the hub -> parts of raw rows, through `datasets`, which is loaded when first needed.

Knows nothing of what the columns mean. Whether the hub answers is asked once, for three seconds; without it, a data set
already in its cache on this machine is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from irtuning.errors import CorpusError
from irtuning.hub import hub_answers
from irtuning.revisions.tables import Table, cell

PARTS = {"train": ("train", "training"), "validation": ("validation", "dev", "valid", "val"), "test": ("test",)}
"""Our part -> the names that folders and hubs use for it."""


def looks_like_hub_id(name: str) -> bool:
    """Whether a name has the form owner/name."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and ".." not in name


def load_hub(hub_id: str) -> dict[str, Table]:
    """The parts that a data set has, by our names; classes given as numbers become their names.

    Raises:
        CorpusError: the hub does not answer and the data set is not in its cache, or the hub does not have or give it.
    """
    cached = not (online := hub_answers()) and _is_cached(hub_id)
    if not online and not cached:
        raise CorpusError(
            f"{hub_id!r} is no folder or file here, not in the hub's cache, and the hub does not answer.",
            "Connect to the network, or choose the corpus starter or a file of your own.",
        )
    import datasets

    try:
        with _quiet(), _offline(cached):
            found = datasets.load_dataset(hub_id)
    except (datasets.exceptions.DatasetNotFoundError, FileNotFoundError) as error:
        if "gated" in str(error):
            raise CorpusError(
                f"The data set {hub_id!r} is gated: the hub gives it only to those who accepted its conditions.",
                "Accept them on its page on the hub, then log in with `hf auth login` or set HF_TOKEN.",
            ) from None
        raise CorpusError(
            f"The hub has no data set {hub_id!r}, or not for you.",
            "Check its spelling; if it is private, log in with `hf auth login` or set HF_TOKEN.",
        ) from None
    except Exception as error:  # whatever a foreign data set trips over: its files, its format, the network
        raise CorpusError(
            f"The data set {hub_id!r} cannot be loaded ({type(error).__name__}).",
            "Try again in a minute, or download its files and name their folder.",
        ) from error
    tables: dict[str, Table] = {}
    for part, names in PARTS.items():
        name = next((n for n in names if n in found), None)
        if name is not None:
            tables[part] = _table(f"{hub_id} ({name})", found[name])
    if not tables:
        raise CorpusError(
            f"The data set {hub_id!r} has none of the parts train, validation and test.",
            "Download its files and name one of them.",
        )
    return tables


def _table(source: str, rows: Any) -> Table:
    classes = {name: feature.names for name, feature in rows.features.items() if hasattr(feature, "names")}

    def value(column: str, content: Any) -> str:
        known = classes.get(column)
        # -1 is the hub's way to say that a class is unknown.
        if known is not None and isinstance(content, int):
            return known[content] if 0 <= content < len(known) else ""
        return cell(content)

    found = [{column: value(column, content) for column, content in row.items()} for row in rows]
    return Table(source, list(rows.column_names), found, list(range(1, len(found) + 1)))


def _is_cached(hub_id: str) -> bool:
    import datasets
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = hub_id.partition("/")
    folder = Path(datasets.config.HF_DATASETS_CACHE) / f"{owner}___{camelcase_to_snakecase(name)}"
    return any(folder.glob("*/*/*/dataset_info.json"))


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Has `datasets` go to its cache at once, instead of trying the hub for 23 seconds first."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or wanted
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars while a data set is prepared; its own setting comes back afterwards."""
    import datasets

    shown = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
