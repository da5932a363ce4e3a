"""Files of rows -> columns and rows of strings: .jsonl, .csv, .tsv and .xlsx.

Knows nothing of what the columns mean. A fault of a file is a `CorpusError` that names the file, never its folder, and
the line where that helps. Only the standard library is loaded; for .xlsx openpyxl, when one is opened.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irtuning.errors import CorpusError

SUFFIXES = (".jsonl", ".csv", ".tsv", ".xlsx")
MOST_COLUMNS = 200
"""Rows are filled up to the columns of all: names that differ from line to line would fill the memory."""
MOST_CELLS = 10_000_000
"""Rows of a few characters, filled up to many columns, would fill the memory: so many empty cells take up to a GiB."""
_AGAIN = "It may be half-written or damaged: save or copy it again."
_UTF8 = "Save it as UTF-8."


@dataclass(frozen=True)
class Table:
    """The rows of one file.

    Attributes:
        source: the file's name, for messages.
        columns: names in the file's order.
        rows: column -> cell, every column in every row; an empty cell, None and NaN are the empty string.
        lines: where each row begins, counted from 1; in a spreadsheet its row.
    """

    source: str
    columns: list[str]
    rows: list[dict[str, str]]
    lines: list[int]

    def where(self, index: int) -> str:
        """The place of a row, for messages."""
        return f"{self.source}, line {self.lines[index]}"


def read_table(path: Path | str) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a file, as they stand in it.

    Raises:
        CorpusError: it is missing, of another kind, unreadable, half-written or without rows.
    """
    table = open_table(path)
    return table.columns, table.rows


def open_table(path: Path | str, *, blank: bool = False) -> Table:
    """As `read_table`, with the file's name and line numbers for messages.

    Args:
        blank: keep rows whose cells are all empty, where others follow them; else they are left out.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise CorpusError(f"{path.name!r} is none of {', '.join(SUFFIXES)}.", "Save the rows as one of these.")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"There is no file {path.name!r}.", "Check its name.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file"
        raise CorpusError(
            f"{path.name!r} cannot be read: {reason.lower()}.", "Check that it is a file you may open."
        ) from None
    if not data.strip():
        raise CorpusError(f"{path.name!r} is empty.", "Choose a file with one revision a line.")
    if kind == ".xlsx":
        table = _from_grid(path.name, _sheet(path.name, data), blank)
    else:
        text = _decode(path.name, data)
        if kind == ".jsonl":
            table = _from_json_lines(path.name, text)
        else:
            table = _from_grid(path.name, _separated(path.name, text, tabs=kind == ".tsv"), blank)
    if not table.rows:
        raise CorpusError(f"{path.name!r} has a header but no rows.", "Choose a file with one revision a line.")
    return table


def cell(value: Any) -> str:
    """Any cell as text; None and NaN are empty, and half a surrogate pair becomes the replacement character."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    text = str(value)
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _decode(name: str, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CorpusError(f"{name!r} is UTF-16.", _UTF8)
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise CorpusError(f"{name!r} holds NUL bytes, the first in line {line}.", _AGAIN)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        at_end = error.end >= len(data) or error.reason == "unexpected end of data"
        raise CorpusError(f"{name!r} is not UTF-8 in line {line}.", _AGAIN if at_end else _UTF8) from None


def _from_json_lines(name: str, text: str) -> Table:
    columns: dict[str, None] = {}
    found: list[dict[str, str]] = []
    lines: list[int] = []
    # Not splitlines(): U+2028 and the like may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise CorpusError(f"{name!r}, line {number}, is no whole JSON object.", _AGAIN) from None
        if not isinstance(value, dict):
            raise CorpusError(
                f"{name!r}, line {number}, is no JSON object.",
                'Write one a line, such as {"before": "…", "after": "…"}.',
            )
        row = {cell(key): cell(content) for key, content in value.items()}
        columns.update(dict.fromkeys(row))
        if len(columns) > MOST_COLUMNS:
            raise CorpusError(
                f"{name!r} has more than {MOST_COLUMNS} different columns in its first {number:,} lines.",
                'Write each row with the same names, such as {"before": "…", "after": "…"}.',
            )
        found.append(row)
        lines.append(number)
    _refuse_more_cells(name, len(columns) * len(found))
    return Table(name, list(columns), [{column: row.get(column, "") for column in columns} for row in found], lines)


Grid = Iterable[tuple[int, list[str]]]
"""(line, cells) of each row, the header first."""


def _from_grid(name: str, grid: Grid, blank: bool) -> Table:
    header: list[str] = []
    found: list[dict[str, str]] = []
    lines: list[int] = []
    empty: list[int] = []
    for line, cells in grid:
        if not any(content.strip() for content in cells):
            empty += [line] if blank and header else []
            continue
        if not header:
            header = [content.strip() or f"column {i}" for i, content in enumerate(cells, 1)]
            twice = [column for i, column in enumerate(header) if column in header[:i]]
            if twice:
                raise CorpusError(f"{name!r} has two columns called {twice[0]!r}.", "Rename one of them.")
            continue
        if len(cells) < len(header):
            raise CorpusError(
                f"{name!r}, line {line}, has {_cells(len(cells))} where the header has {len(header)}.", _AGAIN
            )
        if len(cells) > len(header):
            raise CorpusError(
                f"{name!r}, line {line}, has {_cells(len(cells))} where the header has {len(header)}.",
                "Put texts that hold the separator into double quotes.",
            )
        _refuse_more_cells(name, len(header) * (len(found) + len(empty) + 1))
        found += [dict.fromkeys(header, "") for _ in empty] + [dict(zip(header, cells, strict=True))]
        lines += [*empty, line]
        empty = []
    return Table(name, header, found, lines)


def _refuse_more_cells(name: str, count: int) -> None:
    if count > MOST_CELLS:
        raise CorpusError(
            f"{name!r} has more than {MOST_CELLS:,} cells, empty ones included.", "Leave out rows, or columns that are not needed."
        )


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"


def _separated(name: str, text: str, *, tabs: bool) -> Grid:
    separator = "\t" if tabs else _sniff(text)
    try:
        return list(_parse(text, separator))
    except csv.Error as error:
        if tabs and (plain := _unquoted(text)):
            return plain
        line = getattr(error, "line", 1)
        if "limit" in str(error):
            raise CorpusError(f"{name!r} has a cell of more than 131,072 characters in line {line}.", _AGAIN) from None
        if "unexpected end" in str(error):
            raise CorpusError(f"{name!r} ends inside a quoted text that begins in line {line}.", _AGAIN) from None
        raise CorpusError(
            f"{name!r} has a stray double quote in line {line}.", "Inside a quoted text, write a double quote twice."
        ) from None


def _sniff(text: str) -> str:
    """Comma, semicolon or tab, whichever the header holds most of; the comma where it holds none."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=header.count)


def _parse(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            error.line = line  # type: ignore[attr-defined]
            raise
        # A table library may have written its missing value as a word.
        yield line, [cell("" if content == "NaN" else content) for content in cells]


def _unquoted(text: str) -> list[tuple[int, list[str]]]:
    """A tab-separated file whose double quotes are mere characters; empty where its lines are not all equally long."""
    lines = [(n, line.rstrip("\r").split("\t")) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    return lines if len({len(cells) for _, cells in lines}) == 1 else []


def _sheet(name: str, data: bytes) -> Grid:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise CorpusError(
            "Reading .xlsx needs the package openpyxl.", "Run `pip install openpyxl`, or save the sheet as .csv."
        ) from None
    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        # What a file says of its sheet's size may be wrong: rows beyond it would be lost.
        sheet.reset_dimensions()
        rows: list[list[str]] = []
        count = 0
        for row in sheet.iter_rows(values_only=True):
            rows.append([cell(value) for value in row])
            count += max(len(row), 1)
            _refuse_more_cells(name, count)
        book.close()
    except CorpusError:
        raise
    except Exception:  # openpyxl raises whatever a damaged archive or its XML happens to trip over
        raise CorpusError(f"{name!r} cannot be opened as a spreadsheet.", _AGAIN) from None
    # A sheet's used range may be wider than its header; cells beyond it that are all empty are no columns.
    width = max((i + 1 for row in rows for i, content in enumerate(row) if content.strip()), default=0)
    return ((number, (row + [""] * width)[:width]) for number, row in enumerate(rows, 1))
