"""Tables -> one corpus: parts, labels, what is left out and what should be known. Knows neither files nor hubs nor models."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from irtuning import catalogue
from irtuning.errors import CorpusError
from irtuning.revisions import split
from irtuning.revisions.rows import Columns, Revision, usable_rows
from irtuning.revisions.tables import Table

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


def assemble(name: str, tables: dict[str, Table], columns: Columns) -> Corpus:
    """A corpus of tables by part; one under "" or "train" alone is split."""
    dropped: Counter[str] = Counter()
    parts = {part: usable_rows(t, columns, dropped) for part, t in tables.items()}
    if none := _no_intention({r.label for rows in parts.values() for r in rows}):
        dropped[f"labelled {none!r}"] += sum(r.label == none for rows in parts.values() for r in rows)
        parts = {part: [r for r in rows if r.label != none] for part, rows in parts.items()}
    notices = [
        f"{what} {'was' if n == 1 else 'were'} left out." for what, n in zip(left_out(dropped), dropped.values(), strict=True)
    ]
    for part, rows in parts.items():
        if not rows:
            why = f"Left out: {'; '.join(left_out(dropped))}." if dropped else "Each row needs two texts that differ."
            raise CorpusError(f"{name!r} has no usable row{f' in {part}' if part else ''}.", why)
    if set(parts) in ({""}, {"train"}):
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
                f"{name} has no validation part: {count_rows(len(parts['validation']))} of training serve as one."
            )
    labels = _check_labels(name, parts["train"], notices)
    for part in ("validation", "test"):
        strange = Counter(r.label for r in parts[part] if r.label not in labels)
        parts[part] = [r for r in parts[part] if r.label in labels]
        notices += [
            f"{count_rows(n)} labelled {label!r} left out of {part}: training has no such row."
            for label, n in strange.items()
        ]
        if not parts[part]:
            raise CorpusError(
                f"{name!r} has no row in {part} whose label is in training.", "Check the labels of that part."
            )
    notices += _shared_rows(parts)
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
        notices.append(f"{name} names no documents (doc_id): rows of one writer may stand in more than one part.")
    else:
        parts = split.by_groups([r.doc_id or text for r, text in zip(rows, texts, strict=True)], shares)
        found = split.faults(parts, labels)
        if found:
            parts = by_rows
            notices.append(
                f"{name} could not be split by document ({found[0]}): rows were split instead, so writers leak from "
                "training into what is set aside."
            )
    if not all(parts.values()):
        raise CorpusError(
            f"{name!r} has too few rows to set some aside ({len(rows)}).", "Add some: four of each label at least."
        )
    return {part: [rows[i] for i in indices] for part, indices in parts.items()}


def _shared_documents(parts: Mapping[str, Sequence[Revision]]) -> list[str]:
    documents = {part: {r.doc_id for r in rows if r.doc_id} for part, rows in _in_order(parts)}
    shared = [(one, other, len(documents[one] & documents[other])) for one, other in combinations(documents, 2)]
    return [
        f"{n} document{' stands' if n == 1 else 's stand'} in {one} and in {other}: scores may be too good."
        for one, other, n in shared
        if n
    ]


def _shared_rows(parts: Mapping[str, Sequence[Revision]]) -> list[str]:
    """What to say of validation and test rows whose two texts, up to white space, stand in an earlier part."""
    seen: set[tuple[str, str]] = set()
    before: list[str] = []
    notices = []
    for part, rows in _in_order(parts):
        pairs = [(" ".join(r.before.split()), " ".join(r.after.split())) for r in rows]
        if n := sum(pair in seen for pair in pairs):
            notices.append(
                f"{count_rows(n)} of {part} {'has' if n == 1 else 'have'} the same two texts as a row of "
                f"{' or '.join(before)}: scores may be too good."
            )
        seen.update(pairs)
        before.append(part)
    return notices


def _in_order(parts: Mapping[str, Sequence[Revision]]) -> list[tuple[str, Sequence[Revision]]]:
    """Each part as people call it, with its rows, in the order in which they are used."""
    names = {"train": "training", "validation": "validation", "test": "test"}
    return [(name, parts[part]) for part, name in names.items() if part in parts]


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
    alike: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        alike[unicodedata.normalize("NFC", label).casefold()].append(label)
    notices += [
        f"Labels that are written almost the same are told apart: {', '.join(map(repr, group))}."
        for group in alike.values()
        if len(group) > 1
    ]
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


def left_out(dropped: Mapping[str, int]) -> list[str]:
    """What was left out of a table and why, e.g. `3 rows with both sides empty`."""
    return [f"{count_rows(n)} {why.replace('(s)', 's' if n == 1 else '')}" for why, n in dropped.items()]


def count_rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
