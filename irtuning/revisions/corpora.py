"""Corpora of revisions: of the catalogue, a local folder or file, or the hub -> train, validation and test.

Knows where corpora are found; `tables` reads files, `hub` the hub, `rows` knows columns, `assembling` makes of it one corpus.
Knows no model. What was left out or had to be done another way is said in the corpus's notices.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from irtuning import catalogue
from irtuning.errors import CorpusError
from irtuning.paths import existing
from irtuning.revisions.assembling import Corpus as Corpus
from irtuning.revisions.assembling import assemble, count_rows, left_out
from irtuning.revisions.hub import PARTS, load_hub, looks_like_hub_id
from irtuning.revisions.rows import Columns, Revision, merge_columns, usable_rows
from irtuning.revisions.rows import guess_columns as guess_columns
from irtuning.revisions.rows import read_rows as read_rows
from irtuning.revisions.tables import SUFFIXES, Table, open_table
from irtuning.revisions.tables import read_table as read_table

ASSETS = Path(__file__).parents[2] / "assets"


def load_corpus(name: str, columns: Columns | None = None) -> Corpus:
    """The corpus of a catalogue name, a folder, a file or a hub id.

    Raises:
        CorpusError: there is none by this name, it cannot be read, or it cannot be trained on.
    """
    columns = columns or Columns()
    entry = catalogue.CORPORA.get(name)
    if entry is not None:
        tables = load_hub(entry.hub_id) if entry.hub_id else _folder_tables(ASSETS / name)
        return assemble(name, tables, merge_columns(columns, entry.columns))
    path = existing(name)
    if path is None:
        if not _looks_like_path(name) and looks_like_hub_id(name):
            return assemble(name, load_hub(name), columns)
        raise _unknown(name)
    if path.is_dir():
        return assemble(path.resolve().name, _folder_tables(path), columns)
    return assemble(path.name, {"": open_table(path)}, columns)


def refuse_changed(corpus: Corpus, fingerprint: str) -> None:
    """Does nothing where a corpus is still the one that had this fingerprint; an empty one says nothing.

    Raises:
        CorpusError: other texts, labels or parts stand in it now.
    """
    if fingerprint and corpus.fingerprint != fingerprint:
        raise CorpusError(
            f"The corpus {corpus.name!r} has changed since the run was trained on it.",
            "Put back the texts it had then, or train a new run.",
        )


def load_test(
    name: str,
    columns: Columns | None = None,
    trained_on: str = "",
    trained_with: Columns | None = None,
    trained_name: str = "",
) -> tuple[tuple[Revision, ...], str]:
    """The rows that an evaluation scores, and a sentence that says which they are.

    One file is scored as a whole, unless an adapter was trained on that very file: then its test part is.

    Args:
        trained_on: fingerprint of the corpus that the adapter to score was trained on. trained_with: the columns named then;
            which rows trained it depends on the documents. trained_name: that corpus's name.

    Raises:
        CorpusError: as `load_corpus`, or the file has no row to score.
    """
    columns = columns or Columns()
    path = None if name in catalogue.CORPORA else existing(name)
    if path is None and name not in catalogue.CORPORA and not _looks_like_path(name) and looks_like_hub_id(name):
        tables = load_hub(name)
        if "test" in tables and "train" not in tables:
            return _whole(tables["test"], f"the test part of {name}", columns)
        corpus = assemble(name, tables, columns)
    elif path is None or path.is_dir():
        corpus = load_corpus(name, columns)
    else:
        return _of_file(path, columns, trained_on, trained_with, trained_name)
    return corpus.test, f"Scored on the test part of {corpus.name}: {count_rows(len(corpus.test))}."


def _of_file(
    path: Path, columns: Columns, trained_on: str, trained_with: Columns | None, trained_name: str
) -> tuple[tuple[Revision, ...], str]:
    for asked in (columns, merge_columns(columns, asdict(trained_with or Columns()))) if trained_on else ():
        try:
            corpus = load_corpus(str(path), asked)
        except CorpusError:
            continue  # fit to score, though not to train on
        if corpus.fingerprint == trained_on:
            return (
                corpus.test,
                f"Scored on the test part of {corpus.name}, the rest trained it: {count_rows(len(corpus.test))}.",
            )
    rows, which = _whole(open_table(path), f"all of {path.name}", columns)
    if path.name == trained_name:
        which += " A file of this name trained the adapter with other texts, labels or documents: most of these rows may have, too."
    return rows, which


def _whole(table: Table, what: str, columns: Columns) -> tuple[tuple[Revision, ...], str]:
    dropped: Counter[str] = Counter()
    rows = tuple(usable_rows(table, columns, dropped))
    if not rows:
        why = f"Left out: {'; '.join(left_out(dropped))}." if dropped else "It is empty."
        raise CorpusError(f"{table.source!r} has no row to score.", why)
    missing = sum(dropped.values())
    return rows, f"Scored on {what}: {count_rows(len(rows))}{f', {missing} left out' if missing else ''}."


def label_meanings(labels: Iterable[str]) -> dict[str, str]:
    """Label -> what it means in one line, by the known label set that shares most labels; empty where none knows it."""
    labels = list(labels)
    sets = sorted(catalogue.LABEL_SETS, key=lambda known: -len(known.keys() & set(labels)))
    return {label: next((known[label] for known in sets if label in known), "") for label in labels}


# Finding


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or "\\" in name or name.lower().endswith(SUFFIXES)


def _unknown(name: str) -> CorpusError:
    if how := catalogue.BROUGHT.get(name):
        return CorpusError(f"The corpus {name} does not come along and is on no hub.", how)
    shown = re.split(r"[/\\]", name.rstrip("/\\"))[-1][:60]
    what = (
        f"There is no file or folder {shown!r}."
        if _looks_like_path(name) or "/" in name
        else f"There is no corpus {shown!r}."
    )
    return CorpusError(
        what,
        f"Choose {', '.join(catalogue.CORPORA)}, a local folder or file, or a hub id (owner/name).",
    )


def _folder_tables(folder: Path) -> dict[str, Table]:
    """The tables of a folder's train, validation and test files."""
    found: dict[str, Table] = {}
    try:
        files = sorted(f for f in folder.iterdir() if f.is_file() and f.suffix.lower() in SUFFIXES)
    except OSError:
        raise CorpusError(f"The folder {folder.name!r} cannot be read.", "Check that you may open it.") from None
    for part, names in PARTS.items():
        these = [f for f in files if f.stem.lower() in names]
        if len(these) > 1:
            raise CorpusError(
                f"The folder {folder.name!r} holds both {these[0].name} and {these[1].name}.",
                f"Keep one file for {part}.",
            )
        if these:
            found[part] = open_table(these[0])
    for part in ("train", "test"):
        if part not in found:
            raise CorpusError(
                f"The folder {folder.name!r} holds no {part} file ({', '.join(f'{part}{s}' for s in SUFFIXES)}).",
                "Add one, or name a single file, which is split by itself.",
            )
    return found
