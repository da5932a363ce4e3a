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

COLUMNS = ("before", "after", "label", "probability")


class Classifies(Protocol):
    """What tells the intention of many pairs, as `classify.Classifier`."""

    def classify_many(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """{"label", "probabilities"} of each pair."""


def classify_rows(rows: Sequence[Revision], classifier: Classifies) -> tuple[list[dict[str, Any]], list[str]]:
    """(rows of `COLUMNS` in their order, why some have no label).

    A row that is no revision keeps its place, without label and probability: one of them must not cost the others.
    """
    reasons: dict[int, str] = {}
    for place, row in enumerate(rows):
        try:
            check_pair(row.before, row.after)
        except RevisionError as error:
            reasons[place] = f"Row {place + 1} has no label. {error.what}"
    fit = [(row.before, row.after) for place, row in enumerate(rows) if place not in reasons]
    answers = iter(classifier.classify_many(fit) if fit else ())
    table = []
    for place, row in enumerate(rows):
        made: dict[str, Any] = {"before": row.before, "after": row.after, "label": None, "probability": None}
        if place not in reasons:
            answer = next(answers)
            made.update(label=answer["label"], probability=round(max(answer["probabilities"].values()), 6))
        table.append(made)
    return table, list(reasons.values())


def check_output(output: Path) -> None:
    """Refuses, before any work, a file that cannot be written.

    Raises:
        ConfigError: its folder is not there, or it is one itself.
    """
    if not output.parent.is_dir():
        raise ConfigError(f"There is no folder {str(output.parent)!r} to write to.", "Make it, or name another --output.")
    if output.is_dir():
        raise ConfigError(f"{str(output)!r} is a folder.", "Name a file: .jsonl or .csv.")


def write_table(rows: Sequence[dict[str, Any]], output: Path | None, *, as_json: bool) -> None:
    """Writes rows as CSV, or as JSON lines where asked or the file is called .jsonl; without a file to standard output.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        with output.open("w", encoding="utf-8", newline="") if output else nullcontext(sys.stdout) as stream:
            if as_json or (output is not None and output.suffix == ".jsonl"):
                stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            else:
                writer = csv.DictWriter(stream, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{str(output)!r}" if output else "Standard output"
        raise ConfigError(f"{where} cannot be written ({error.strerror}).", "Name another --output.") from error
