"""A corpus of one's own: keeping the uploaded file, showing what is in it, and saying what would be trained on.

Knows no gradio; gives values and markup in which every text from the file stands escaped.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from irtuning import catalogue
from irtuning.errors import CorpusError
from irtuning.insight.estimate import Sizes, mean_tokens
from irtuning.paths import existing
from irtuning.revisions.corpora import SUFFIXES as TABLES
from irtuning.revisions.corpora import Columns, Corpus, load_corpus
from irtuning.ui.words import label as intention
from irtuning.ui.words import plural, text

SUFFIXES = (".csv", ".tsv", ".jsonl")
PREVIEW_ROWS = 5
PREVIEW_CHARACTERS = 160
LARGEST_READ_BYTES = 20_000_000
"""A named file above this is not read only to estimate a run."""
UPLOADS = ".uploads"
UNUSED_SECONDS = 7 * 24 * 3600
"""How long an uploaded file is kept that no run was made on."""
USUAL = {"before": "before", "after": "after", "label": "label", "doc": "doc_id"}
"""Our columns and the names that need not be told."""


def keep(upload: Path, home: Path) -> Path:
    """A copy of an uploaded file that outlives the visit, among the runs but none of them; the same content is kept once."""
    digest = hashlib.sha256(upload.read_bytes()).hexdigest()[:16]
    name = re.sub(r"[^\w.-]+", "-", upload.name)[-80:].lstrip(".-") or f"corpus{upload.suffix}"
    target = home / UPLOADS / digest / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: a whole class may send the same file at once.
        with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as scratch:
            Path(shutil.copyfile(upload, Path(scratch) / "whole")).replace(target)
    os.utime(target.parent)
    return target


def uploaded(name: str, home: Path) -> bool:
    """Whether a corpus is a file that `keep` kept."""
    path = existing(name)
    return path is not None and path.resolve().is_relative_to((home / UPLOADS).resolve())


def is_table(name: str) -> bool:
    """Whether a corpus is one file of rows on this machine."""
    path = existing(name)
    return path is not None and path.is_file() and path.suffix.lower() in TABLES


def forget_unused(home: Path, used: Collection[str], *, older_than: float = UNUSED_SECONDS) -> None:
    """Removes kept files that no run was made on and that nobody has chosen for so many seconds.

    Args:
        used: paths of files that runs were made on.
    """
    # Whatever way leads to it, a file is known by its content's folder.
    digests = {Path(path).parent.name for path in used}
    for folder in (home / UPLOADS).glob("*"):
        with contextlib.suppress(OSError):
            if folder.name not in digests and time.time() - folder.stat().st_mtime > older_than:
                shutil.rmtree(folder, ignore_errors=True)


def preview(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    """The first rows as a table, long cells shortened."""
    head = "".join(f"<th scope=col>{text(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td><div>{text(_short(row.get(column)))}</div></td>" for column in columns) + "</tr>"
        for row in rows[:PREVIEW_ROWS]
    )
    more = f"first {PREVIEW_ROWS} of {len(rows):,} rows" if len(rows) > PREVIEW_ROWS else plural(len(rows), "row")
    return (
        f'<div class="ir-table-scroll" tabindex="0" role="region" aria-label="Preview of the file">'
        f'<table class="ir-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f'<p class="ir-quiet ir-small-text">{more}</p>'
    )


def _short(value: object) -> str:
    shown = "" if value is None else str(value)
    return shown if len(shown) <= PREVIEW_CHARACTERS else shown[: PREVIEW_CHARACTERS - 1] + "…"


def summary(corpus: Corpus) -> str:
    """What a run on this corpus would train and test on: rows a part, counts a label, notices."""
    counts = Counter(r.label for part in (corpus.train, corpus.validation, corpus.test) for r in part)
    most = max(counts.values(), default=1)
    bars = "".join(
        f'<div class="ir-bar-row"><span>{intention(label)}</span>'
        f'<span class="ir-bar"><i style="width:{100 * counts[label] / most:.0f}%"></i></span>'
        f'<span class="ir-figure">{counts[label]:,}</span></div>'
        for label in corpus.labels
    )
    notices = "".join(f'<p class="ir-note">{text(notice)}</p>' for notice in corpus.notices)
    return (
        f'<p class="ir-small-text">{len(corpus.train):,} to train on, {len(corpus.validation):,} to choose the best step by, '
        f"{len(corpus.test):,} to test on.</p>{bars}{notices}"
    )


def columns_for_config(columns: Columns) -> dict[str, str | None]:
    """RunConfig's column fields, left out where the file uses the usual names; that there are no documents is said."""
    chosen = {"before": columns.before, "after": columns.after, "label": columns.label, "doc": columns.doc}
    return {f"{key}_column": value for key, value in chosen.items() if value is not None and value != USUAL[key]}


def sizes_of(name: str, columns: Columns, *, use_instruction: bool) -> Sizes | None:
    """Rows and tokens of a corpus that lies on this machine; None for one that must be fetched or is too large to look at.

    Raises:
        CorpusError: it cannot be read or trained on.
    """
    entry = catalogue.CORPORA.get(name)
    path = None if entry is not None else existing(name)
    if entry is not None:
        if entry.hub_id:
            return None
        stamp = 0
    elif path is None:
        if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            return None
        stamp = 0
    elif path.is_file():
        if path.stat().st_size > LARGEST_READ_BYTES:
            return None
        stamp = path.stat().st_mtime_ns
    else:
        try:
            stamp = path.stat().st_mtime_ns
            size = sum(child.stat().st_size for child in path.iterdir() if child.is_file())
        except OSError:
            raise CorpusError(f"{path.name!r} cannot be read.", "Name a file or a folder that you may open.") from None
        if size > LARGEST_READ_BYTES:
            return None
    train, validation, test, characters = _numbers(name, columns, stamp)
    return Sizes(train, validation, test, mean_tokens(characters, use_instruction=use_instruction))


@lru_cache(maxsize=32)
def _numbers(name: str, columns: Columns, stamp: int) -> tuple[int, int, int, int]:
    """Rows in train, validation and test, and an average pair's characters; `stamp` tells one state of a file from another."""
    corpus = load_corpus(name, columns)
    characters = sum(len(r.before) + len(r.after) for r in corpus.train)
    return len(corpus.train), len(corpus.validation), len(corpus.test), round(characters / max(1, len(corpus.train)))
