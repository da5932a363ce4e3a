"""Every row of a file with its intention, and the table that comes out. Knows no command line and no page."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

from irtuning.errors import ConfigError, RevisionError
from irtuning.revisions.corpora import Revision
from irtuning.revisions.encoding import check_pair

FORMATS = (".csv", ".jsonl")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What begins a formula in a spreadsheet."""
COLUMNS = ("before", "after", "label", "probability")


class Classifies(Protocol):
    """What tells the intention of many pairs, as `classify.Classifier`."""

    def classify_many(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """{"label", "probabilities"} of each pair."""


def classify_rows(
    rows: Sequence[Revision], lines: Sequence[int], classifier: Classifies
) -> tuple[list[dict[str, Any]], list[str]]:
    """(rows in their order, what to tell of some).

    Each has `COLUMNS`, and `probabilities` as a classifier answers. A row that is no revision keeps its place, without label and
    probabilities: one of them must not cost the others.

    Args:
        lines: where each row begins in its file.
    """
    reasons: dict[int, str] = {}
    for place, row in enumerate(rows):
        try:
            check_pair(row.before, row.after)
        except RevisionError as error:
            reasons[place] = f"Line {lines[place]} has no label. {error.what}"
    fit = [(row.before, row.after) for place, row in enumerate(rows) if place not in reasons]
    answers = iter(classifier.classify_many(fit) if fit else ())
    table = []
    for place, row in enumerate(rows):
        made: dict[str, Any] = {"before": row.before, "after": row.after, **dict.fromkeys((*COLUMNS[2:], "probabilities"))}
        if place not in reasons:
            answer = next(answers)
            probabilities = answer["probabilities"]
            made.update(label=answer["label"], probability=round(max(probabilities.values()), 6), probabilities=probabilities)
            if "notice" in answer:
                reasons[place] = f"Line {lines[place]}: {answer['notice']}"
        table.append(made)
    return table, [reasons[place] for place in sorted(reasons)]


def check_output(output: Path, source: Path) -> None:
    """Refuses, before any work, a file that cannot be written.

    Args:
        source: the file that the rows come from.

    Raises:
        ConfigError: its folder is not there, it is one itself or the source, or its name promises another format.
    """
    if output.suffix.lower() not in FORMATS:
        raise ConfigError(f"{output.name!r} is none of {', '.join(FORMATS)}.", "Name the --output so; .csv opens as a spreadsheet.")
    if not output.parent.is_dir():
        raise ConfigError(f"There is no folder {str(output.parent)!r} to write to.", "Make it, or name another --output.")
    if output.is_dir():
        raise ConfigError(f"{str(output)!r} is a folder.", "Name a file: .jsonl or .csv.")
    if output.exists() and source.exists() and output.samefile(source):
        raise ConfigError("The --output is the --file itself, whose other columns would be lost.", "Name another one.")


def write_table(rows: Sequence[dict[str, Any]], output: Path | None, *, as_json: bool) -> None:
    """Writes rows as the file is called: CSV, or JSON lines with all probabilities; without one to standard output, as asked.

    In CSV a text that a spreadsheet would compute has an apostrophe before it; JSON lines hold texts as they are.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        lines = as_json if output is None else output.suffix.lower() == ".jsonl"
        # With its mark at the beginning, spreadsheets know UTF-8.
        encoding = "utf-8" if lines else "utf-8-sig"
        with output.open("w", encoding=encoding, newline="") if output else nullcontext(sys.stdout) as stream:
            if lines:
                stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            else:
                writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore")
                writer.writeheader()
                writer.writerows({name: _no_formula(value) for name, value in row.items()} for row in rows)
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{str(output)!r}" if output else "Standard output"
        raise ConfigError(f"{where} cannot be written ({error.strerror}).", "Name another --output.") from error


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
