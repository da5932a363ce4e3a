"""Corpora of revisions: of the catalogue, a local folder or file, or the hub -> train, validation and test.

Knows where corpora are found and what makes one whole; `tables` reads files, `hub` the hub, `rows` knows columns,
`split` splits. Knows no model. What was left out or had to be done another way is said in the corpus's notices.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from irtuning import catalogue
from irtuning.errors import CorpusError
from irtuning.paths import existing
from irtuning.revisions import split
from irtuning.revisions.hub import PARTS, load_hub, looks_like_hub_id
from irtuning.revisions.rows import Columns, Revision, merge_columns, usable_rows
from irtuning.revisions.rows import guess_columns as guess_columns
from irtuning.revisions.rows import read_rows as read_rows
from irtuning.revisions.tables import SUFFIXES, Table, open_table
from irtuning.revisions.tables import read_table as read_table

ASSETS = Path(__file__).parents[2] / "assets"
MOST_LABELS = 100


@dataclass(frozen=True)
class Corpus:
    """Revisions to train on, to choose by and to test on.

    Attributes:
        name: fit to show and to share: a catalogue name, a hub id, or the last name of a local path.
        labels: the intentions that occur in `train`, in the catalogue's order where it knows them, else sorted.
        fingerprint: first 16 hex digits of the SHA-256 of all rows and the part each is in.
        notices: sentences about what was left out or should be known.
    """

    name: str
    labels: tuple[str, ...]
    train: tuple[Revision, ...]
    validation: tuple[Revision, ...]
    test: tuple[Revision, ...]
    fingerprint: str
    notices: tuple[str, ...] = ()

    def part(self, name: str) -> tuple[Revision, ...]:
        """The rows of `train`, `validation` or `test`."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def load_corpus(name: str, columns: Columns | None = None) -> Corpus:
    """The corpus of a catalogue name, a folder, a file or a hub id.

    Raises:
        CorpusError: there is none by this name, it cannot be read, or it cannot be trained on.
    """
    columns = columns or Columns()
    entry = catalogue.CORPORA.get(name)
    if entry is not None:
        tables = load_hub(entry.hub_id) if entry.hub_id else _folder_tables(ASSETS / name)
        return _assemble(name, tables, merge_columns(columns, entry.columns))
    path = existing(name)
    if path is None:
        if not _looks_like_path(name) and looks_like_hub_id(name):
            return _assemble(name, load_hub(name), columns)
        raise _unknown(name)
    if path.is_dir():
        return _assemble(path.resolve().name, _folder_tables(path), columns)
    return _assemble(path.name, {"": open_table(path)}, columns)


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


def load_test(name: str, columns: Columns | None = None, trained_on: str = "") -> tuple[tuple[Revision, ...], str]:
    """The rows that an evaluation scores, and a sentence that says which they are.

    One file is scored as a whole, unless an adapter was trained on that very file: then its test part is.

    Args:
        trained_on: fingerprint of the corpus that the adapter to score was trained on.

    Raises:
        CorpusError: as `load_corpus`, or the file has no row to score.
    """
    columns = columns or Columns()
    path = None if name in catalogue.CORPORA else existing(name)
    if path is None or path.is_dir():
        corpus = load_corpus(name, columns)
        return corpus.test, f"Scored on the test part of {corpus.name}: {_rows(len(corpus.test))}."
    if trained_on:
        try:
            corpus = load_corpus(name, columns)
        except CorpusError:
            corpus = None  # fit to score, though not to train on
        if corpus is not None and corpus.fingerprint == trained_on:
            return (
                corpus.test,
                f"Scored on the test part of {corpus.name}, the rest trained it: {_rows(len(corpus.test))}.",
            )
    dropped: Counter[str] = Counter()
    rows = tuple(usable_rows(open_table(path), columns, dropped))
    if not rows:
        raise CorpusError(f"{path.name!r} has no row to score.", "Both texts are the same in each of its rows.")
    left_out = sum(dropped.values())
    return rows, f"Scored on all of {path.name}: {_rows(len(rows))}{f', {left_out} left out' if left_out else ''}."


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


# Assembling


def _assemble(name: str, tables: dict[str, Table], columns: Columns) -> Corpus:
    """A corpus of tables by part; one under "" or "train" alone is split."""
    dropped: Counter[str] = Counter()
    parts = {part: usable_rows(t, columns, dropped) for part, t in tables.items()}
    if none := _no_intention({r.label for rows in parts.values() for r in rows}):
        dropped[f"labelled {none!r}"] += sum(r.label == none for rows in parts.values() for r in rows)
        parts = {part: [r for r in rows if r.label != none] for part, rows in parts.items()}
    notices = [
        f"{_rows(n)} {why.replace('(s)', 's' if n == 1 else '')} {'was' if n == 1 else 'were'} left out."
        for why, n in dropped.items()
    ]
    for part, rows in parts.items():
        if not rows:
            raise CorpusError(
                f"{name!r} has no usable row{f' in {part}' if part else ''}.", "Each row needs two texts that differ."
            )
    if len(parts) == 1:
        parts = _split(name, next(iter(parts.values())), split.FILE_SHARES, notices)
    else:
        if "train" not in parts or "test" not in parts:
            raise CorpusError(
                f"{name!r} has no {'test' if 'train' in parts else 'train'} part.",
                "Name a file, which is split by itself.",
            )
        notices += _shared_documents(parts)
        if "validation" not in parts:
            parts = {**_split(name, parts["train"], split.TRAINING_SHARES, notices), "test": parts["test"]}
            notices.append(
                f"{name} has no validation part: {_rows(len(parts['validation']))} of training serve as one."
            )
    labels = _check_labels(name, parts["train"], notices)
    for part in ("validation", "test"):
        strange = Counter(r.label for r in parts[part] if r.label not in labels)
        parts[part] = [r for r in parts[part] if r.label in labels]
        notices += [
            f"{_rows(n)} labelled {label!r} left out of {part}: training has no such row."
            for label, n in strange.items()
        ]
        if not parts[part]:
            raise CorpusError(
                f"{name!r} has no row in {part} whose label is in training.", "Check the labels of that part."
            )
    return Corpus(
        name,
        _ordered(labels),
        tuple(parts["train"]),
        tuple(parts["validation"]),
        tuple(parts["test"]),
        _fingerprint(parts),
        tuple(notices),
    )


def _no_intention(labels: set[str]) -> str:
    """The label that stands for none of the intentions, where there are others and all of a known set; else empty."""
    if len(labels) < 3:  # two are left to be told apart
        return ""
    return next((none for known, none in catalogue.NO_INTENTIONS if none in labels <= {*known, none}), "")


def _split(
    name: str, rows: list[Revision], shares: Mapping[str, float], notices: list[str]
) -> dict[str, list[Revision]]:
    """Rows put into parts by document, or one by one where there are none or the parts would lack rows or a label."""
    _check_labels(name, rows, [])
    texts = [f"{r.before}\0{r.after}" for r in rows]
    labels = [r.label for r in rows]
    by_rows = split.by_rows(texts, labels, shares)
    if not any(r.doc_id for r in rows):
        parts = by_rows
        notices.append(f"{name} names no documents (doc_id): rows of one writer may stand in training and in test.")
    else:
        parts = split.by_groups([r.doc_id or text for r, text in zip(rows, texts, strict=True)], shares)
        found = split.faults(parts, labels)
        if found:
            parts = by_rows
            notices.append(
                f"{name} could not be split by document ({found[0]}): rows were split instead, so writers leak from "
                "training into test."
            )
    if not all(parts.values()):
        raise CorpusError(
            f"{name!r} has too few rows to set some aside ({len(rows)}).", "Add some: four of each label at least."
        )
    return {part: [rows[i] for i in indices] for part, indices in parts.items()}


def _shared_documents(parts: Mapping[str, Sequence[Revision]]) -> list[str]:
    documents = {part: {r.doc_id for r in rows if r.doc_id} for part, rows in parts.items()}
    n = len(documents["train"] & documents["test"])
    return (
        [f"{n} document{' stands' if n == 1 else 's stand'} in training and in test: scores may be too good."]
        if n
        else []
    )


def _check_labels(name: str, rows: Sequence[Revision], notices: list[str]) -> set[str]:
    """The labels of training rows, after refusing those that nothing can be learned from."""
    counts = Counter(r.label for r in rows)
    needs = "Training needs two labels at least, with two rows each."
    if len(counts) == 1:
        raise CorpusError(f"All training rows of {name!r} have one label, {next(iter(counts))!r}.", needs)
    if sum(n >= 2 for n in counts.values()) < 2:
        raise CorpusError(f"Too few labels of {name!r} have more than one row to train on.", needs)
    if len(counts) > MOST_LABELS:
        raise CorpusError(f"{name!r} has {len(counts)} different labels.", "Check which column holds the intention.")
    rare = sorted(label for label, n in counts.items() if n == 1)
    if rare:
        notices.append(f"Only one row to train on: label{'' if len(rare) == 1 else 's'} {', '.join(map(repr, rare))}.")
    return set(counts)


def _ordered(labels: set[str]) -> tuple[str, ...]:
    known = next((known for known in catalogue.LABEL_SETS if labels <= known.keys()), None)
    return tuple(label for label in known if label in labels) if known else tuple(sorted(labels))


def _fingerprint(parts: Mapping[str, Sequence[Revision]]) -> str:
    digest = hashlib.sha256()
    for part in ("train", "validation", "test"):
        for r in parts[part]:
            digest.update(json.dumps([part, r.before, r.after, r.label, r.doc_id]).encode())
    return digest.hexdigest()[:16]


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
