"""Rows of a table -> revisions: which column means what, and which rows can be used.

Knows neither files nor parts; a table brings its name for messages.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from irtuning.errors import CorpusError
from irtuning.revisions.encoding import LONGEST_SIDE
from irtuning.revisions.tables import Table, open_table


@dataclass(frozen=True)
class Revision:
    """One revision: text before and after (either may be empty), its intention, its document or writer where known."""

    before: str
    after: str
    label: str = ""
    doc_id: str = ""


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; None: find it by its usual names. An empty `doc`: no column names documents."""

    before: str | None = None
    after: str | None = None
    label: str | None = None
    doc: str | None = None


_USUAL = {
    "before": "before old before_sent old_sentence old_sentences before_text text_before old_text original source",
    "after": "after new after_sent new_sentence new_sentences after_text text_after new_text revised target",
    "label": "label labels purpose_label purpose_labels purpose intention intent intentions category class",
    "doc": "doc_id doc document document_id essay_id essay writer writer_id author author_id student student_id",
}


def guess_columns(columns: Iterable[str]) -> Columns:
    """The columns that by their usual names hold before, after, label and document; None where none does."""
    known = {re.sub(r"[\s-]+", "_", column.strip().lower()): column for column in reversed(list(columns))}
    return Columns(
        **{
            field: next((known[usual] for usual in names.split() if usual in known), None)
            for field, names in _USUAL.items()
        }
    )


def read_rows(path: Path | str, columns: Columns | None = None) -> tuple[list[Revision], list[int]]:
    """Every row of a file as a revision, in its order, usable or not, and the line in which each begins; labels and documents
    may be missing. A table's empty rows between others are rows, too.

    Raises:
        CorpusError: the file cannot be read, or holds no texts before and after.
    """
    table = open_table(path, blank=True)
    found = _resolve(table, columns or Columns(), needs_label=False)
    return [_revision(row, found) for row in table.rows], table.lines


def merge_columns(columns: Columns, defaults: Mapping[str, str]) -> Columns:
    """Columns somebody named, where nobody did the catalogue's."""
    usual = {"doc" if key == "doc_id" else key: value for key, value in defaults.items()}
    named = {f.name: getattr(columns, f.name) for f in fields(Columns)}
    return Columns(**{name: usual.get(name) if value is None else value for name, value in named.items()})


def _resolve(table: Table, columns: Columns, *, needs_label: bool = True) -> Columns:
    """The columns named, where none is the one guessed; label (unless needed) and document may stay None."""
    guessed = guess_columns(table.columns)
    there = f"its columns are {', '.join(map(repr, table.columns[:12]))}"
    values: dict[str, str | None] = {}
    for field in fields(Columns):
        named = getattr(columns, field.name)
        if named and named not in table.columns:
            raise CorpusError(f"{table.source!r} has no column {named!r}; {there}.", "Name one of these.")
        unnamed = field.name == "doc" and named == ""
        values[field.name] = None if unnamed else named or getattr(guessed, field.name)
        if values[field.name] is None and (
            field.name in ("before", "after") or (field.name == "label" and needs_label)
        ):
            raise CorpusError(
                f"{table.source!r} has no column {field.name!r}; {there}.",
                f"Say which column holds the {'intention' if field.name == 'label' else f'text {field.name}'}.",
            )
    if values["before"] == values["after"]:
        both = f"before and after are both taken from the column {values['before']!r}"
        raise CorpusError(f"{table.source!r} would show no revision: {both}.", "Name a column for each.")
    return Columns(**values)


def _revision(row: Mapping[str, str], columns: Columns) -> Revision:
    return Revision(
        row[columns.before or ""],
        row[columns.after or ""],
        row[columns.label].strip() if columns.label else "",
        row[columns.doc].strip() if columns.doc else "",
    )


def usable_rows(table: Table, columns: Columns, dropped: Counter[str]) -> list[Revision]:
    """The rows that can be trained on; why others cannot is counted in `dropped`, `(s)` standing after its verb.

    Raises:
        CorpusError: a column is missing, or a row that could be used has no label.
    """
    found = _resolve(table, columns)
    kept = []
    for i, row in enumerate(table.rows):
        revision = _revision(row, found)
        if revision.before.split() == revision.after.split():
            dropped["that differ(s) in white space alone" if revision.before.strip() else "with both sides empty"] += 1
        elif max(len(revision.before), len(revision.after)) > LONGEST_SIDE:
            dropped[f"of more than {LONGEST_SIDE:,} characters a side"] += 1
        elif not revision.label:
            raise CorpusError(
                f"{table.source!r}, line {table.lines[i]}, has no label.", "Fill it in, or take the row out."
            )
        else:
            kept.append(revision)
    return kept
