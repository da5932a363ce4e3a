"""Reading files: every usual form is read the same, every fault is one sentence without a path."""

import json
import sys
import zipfile

import pytest

from irtuning.errors import CorpusError
from irtuning.revisions import tables
from irtuning.revisions.tables import cell, open_table, read_table

ROWS = [
    {"before": "Ein Haus, alt", "after": "a house; old", "label": "x"},
    {"before": "", "after": 'She said "no"\nand left.', "label": "y"},
]


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def refused(path):
    with pytest.raises(CorpusError) as caught:
        read_table(path)
    text = str(caught.value)
    assert caught.value.advice
    assert str(path.parent) not in text
    assert "\n" not in text
    return text


def test_json_lines_give_their_columns_and_rows(tmp_path):
    path = write(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in ROWS) + "\n\n")
    assert read_table(path) == (["before", "after", "label"], ROWS)


def test_json_cells_that_are_no_text_become_text_and_missing_ones_empty(tmp_path):
    path = write(
        tmp_path, "a.jsonl", '{"before": null, "after": NaN, "n": 3}\n{"before": "x\\u2028y", "tags": ["a"]}\n'
    )
    columns, rows = read_table(path)
    assert columns == ["before", "after", "n", "tags"]
    assert rows[0] == {"before": "", "after": "", "n": "3", "tags": ""}
    assert rows[1] == {"before": "x\u2028y", "after": "", "n": "", "tags": '["a"]'}


def test_half_of_a_surrogate_pair_becomes_text_that_can_be_written(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"before": "x \\ud83d", "after": "\\ud83d\\ude00"}\n')
    row = read_table(path)[1][0]
    assert row == {"before": "x \ufffd", "after": "😀"}
    assert cell("plain") == "plain"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_separated_values_are_read_whatever_the_separator_bom_and_line_ending(tmp_path, separator, bom, ending):
    quoted = [
        separator.join(f'"{v}"' for v in ("before", "after", "label")),
        separator.join(('"Ein Haus, alt"', '"a house; old"', "x")),
        separator.join(("", '"She said ""no""\nand left."', "y")),
    ]
    name = "a.tsv" if separator == "\t" else "a.csv"
    path = write(tmp_path, name, bom + (ending.join(quoted) + ending).encode())
    assert read_table(path) == (["before", "after", "label"], ROWS)


def test_line_numbers_count_lines_not_rows(tmp_path):
    table = open_table(write(tmp_path, "a.csv", 'before,after\n"one\ntwo",x\n\n,y\n'))
    assert table.lines == [2, 5]
    assert table.where(1) == "a.csv, line 5"


def test_lines_without_content_and_missing_values_written_as_a_word_are_empty(tmp_path):
    path = write(tmp_path, "a.csv", "before,after,label\n,,\nNaN,x,y\n")
    assert read_table(path)[1] == [{"before": "", "after": "x", "label": "y"}]


def test_quotes_in_a_tab_separated_file_may_be_mere_characters(tmp_path):
    path = write(tmp_path, "a.tsv", 'before\tafter\n"No," he said.\tyes\n5" wide\t"\n')
    assert read_table(path)[1] == [{"before": '"No," he said.', "after": "yes"}, {"before": '5" wide', "after": '"'}]


def test_a_column_without_a_name_gets_one(tmp_path):
    assert read_table(write(tmp_path, "a.csv", ",before\n0,x\n"))[0] == ["column 1", "before"]


def test_a_spreadsheet_is_read_as_the_same_rows(tmp_path):
    import openpyxl
    book = openpyxl.Workbook()
    for row in (["before", "after", "label"], ["Ein Haus, alt", "a house; old", "x"], [None, ROWS[1]["after"], "y"]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    table = open_table(tmp_path / "a.xlsx")
    assert (table.columns, table.rows, table.lines) == (["before", "after", "label"], ROWS, [2, 3])
    half = write(tmp_path, "half.xlsx", (tmp_path / "a.xlsx").read_bytes()[:2000])
    assert "half.xlsx" in refused(half)


@pytest.mark.parametrize("size", ["A1", "A1:C2", "A1:XFD1048576"])
def test_a_spreadsheet_that_is_wrong_about_its_size_is_read_whole(tmp_path, size):
    import openpyxl
    book = openpyxl.Workbook()
    for row in (["before", "after", "label"], *([f"x{i}", f"y{i}", "a"] for i in range(5))):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as whole, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as other:
        for name in whole.namelist():
            data = whole.read(name)
            if name == "xl/worksheets/sheet1.xml":
                assert b'<dimension ref="A1:C6"' in data
                data = data.replace(b'<dimension ref="A1:C6"', f'<dimension ref="{size}"'.encode())
            other.writestr(name, data)
    assert read_table(tmp_path / "b.xlsx") == read_table(tmp_path / "a.xlsx")
    assert len(read_table(tmp_path / "b.xlsx")[1]) == 5


def test_a_spreadsheet_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "pip install openpyxl" in refused(write(tmp_path, "a.xlsx", b"PK"))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jsonl", b"", "'a.jsonl' is empty"),
        ("a.csv", b" \n\n", "is empty"),
        ("a.csv", b"before,after,label\n", "has a header but no rows"),
        ("a.jsonl", b'{"before": "x"}\n{"before": "y", "aft', "line 2, is no whole JSON object"),
        ("a.jsonl", b'{"before": "x"}\n["y"]\n', "line 2, is no JSON object"),
        ("a.jsonl", b"[" * 100_000, "line 1, is no whole JSON object"),
        ("a.csv", b"before,after,label\nx,y,z\nu,v", "line 3, has 2 cells where the header has 3"),
        ("a.csv", b"before,after,label\nx,y,z,w\n", "line 2, has 4 cells"),
        ("a.csv", b'before,after\nx,"y and\nmore', "ends inside a quoted text that begins in line 2"),
        ("a.csv", b'before,after\n\nx,"y" z\n', "stray double quote in line 3"),
        ("a.csv", b"before,after\nx," + b"y" * 140_000, "more than 131,072 characters in line 2"),
        ("a.csv", b"before,before\nx,y\n", "two columns called 'before'"),
        ("a.csv", b"before,after\nx,caf\xe9 y\n", "is not UTF-8 in line 2"),
        ("a.csv", b"before,after\nx,caf\xc3", "half-written"),
        ("a.csv", "before,after\nx,y\n".encode("utf-16"), "is UTF-16"),
        ("a.jsonl", b'{"before": "x"}\n\0\0\0\0', "NUL bytes, the first in line 2"),
        ("a.xlsx", b"PK\x03\x04 half of one", "cannot be opened as a spreadsheet"),
        ("a.json", b"{}", "is none of .jsonl, .csv, .tsv, .xlsx"),
        ("a", b"{}", "is none of"),
    ],
)
def test_each_fault_of_a_file_is_one_sentence(tmp_path, name, data, says):
    assert says in refused(write(tmp_path, name, data))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "There is no file 'gone.csv'" in refused(tmp_path / "gone.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "'folder.csv' cannot be read: is a directory" in refused(tmp_path / "folder.csv")


def test_names_that_differ_from_line_to_line_are_refused_before_they_fill_the_memory(tmp_path):
    lines = "".join(f'{{"essay-{i}": "x"}}\n' for i in range(20_000))
    with pytest.raises(CorpusError, match="more than 200 different columns in its first 201 lines"):
        read_table(write(tmp_path, "a.jsonl", lines))


def test_short_rows_that_would_be_filled_up_to_many_cells_are_refused(tmp_path, monkeypatch):
    wide = json.dumps({f"c{i}": "x" for i in range(200)})
    with pytest.raises(CorpusError, match="more than 10,000,000 cells, empty ones included"):
        read_table(write(tmp_path, "a.jsonl", wide + "\n{}" * 60_000))
    # Empty rows between others are kept on demand, and a spreadsheet's rows may end anywhere.
    monkeypatch.setattr(tables, "MOST_CELLS", 1000)
    header = ",".join(f"c{i}" for i in range(200))
    lines = write(tmp_path, "a.csv", f"{header}\n" + "\n" * 4 + "," * 199 + "x\n")
    assert len(open_table(lines).rows) == 1
    assert len(open_table(write(tmp_path, "b.csv", f"{header}\n\n\n\n\n{',' * 199}x\n"), blank=True).rows) == 5
    with pytest.raises(CorpusError, match="more than 1,000 cells"):
        open_table(write(tmp_path, "c.csv", f"{header}\n\n\n\n\n\n{',' * 199}x\n"), blank=True)
    import openpyxl
    book = openpyxl.Workbook()
    for _ in range(6):
        book.active.append([None] * 198 + ["x"])
    book.save(tmp_path / "a.xlsx")
    assert "more than 1,000 cells" in refused(tmp_path / "a.xlsx")
