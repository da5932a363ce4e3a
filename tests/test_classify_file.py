import csv
import json

import pytest

from irtuning.classify_file import check_output, classify_rows, write_table
from irtuning.errors import ConfigError
from irtuning.revisions.corpora import Revision


class Length:
    """Tells a pair's intention by which side is longer; notes how often it was asked."""

    asked = 0

    def classify_many(self, pairs):
        self.asked += 1
        return [
            {"label": "more" if len(after) > len(before) else "less", "probabilities": {"more": 0.75, "less": 0.25}}
            for before, after in pairs
        ]


def revision(before, after):
    return Revision(before, after, "", "")


def test_a_row_that_was_not_revised_keeps_its_place_and_costs_no_other():
    rows = [revision("a", "a b"), revision("same", "same "), revision("", ""), revision("a b", "a"), revision("x" * 30_000, "y")]
    table, problems = classify_rows(rows, [2, 3, 5, 6, 9], Length())
    assert [row["label"] for row in table] == ["more", None, None, "less", None]
    assert [row["before"] for row in table] == [row.before for row in rows]
    assert table[0]["probability"] == 0.75
    assert table[1]["probability"] is None
    assert [said.split(".")[0] for said in problems] == ["Line 3 has no label", "Line 5 has no label", "Line 9 has no label"]
    assert "the same" in problems[0]


def test_where_nothing_was_revised_nothing_is_asked():
    classifier = Length()
    table, problems = classify_rows([revision("a", "a")], [1], classifier)
    assert (len(table), len(problems), classifier.asked) == (1, 1, 0)
    assert classify_rows([], [], classifier) == ([], [])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_texts_come_back_as_they_were(tmp_path, suffix):
    rows = [revision('He said "no",\nthen', "schön \u2028 é"), revision("a", "a")]
    output = tmp_path / f"out{suffix}"
    write_table(classify_rows(rows, [2, 3], Length())[0], output, as_json=False)
    with output.open(encoding="utf-8-sig", newline="") as stream:
        read = list(csv.DictReader(stream)) if suffix == ".csv" else [json.loads(line) for line in stream]
    assert [(row["before"], row["after"]) for row in read] == [(row.before, row.after) for row in rows]
    assert not read[1]["label"]


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path):
    source = tmp_path / "pairs.csv"
    source.write_text("before,after\na,b\n")
    (tmp_path / "folder.csv").mkdir()
    for name, says in (("missing/out.csv", "no folder"), ("folder.csv", "is a folder"), ("out.xlsx", "none of .csv, .jsonl"),
                       ("out", "none of"), ("./pairs.csv", "the --file itself")):  # fmt: skip
        with pytest.raises(ConfigError, match=says):
            check_output(tmp_path / name, source)
    check_output(tmp_path / "out.csv", source)
    check_output(tmp_path / "OUT.JSONL", source)
    with pytest.raises(ConfigError, match="cannot be written"):
        write_table([], tmp_path, as_json=False)


def test_the_files_name_says_its_format_and_json_holds_all_probabilities(tmp_path, capsys):
    table, _ = classify_rows([revision("a", "a b")], [2], Length())
    for name, as_json in (("OUT.JSONL", False), ("out.csv", True)):
        write_table(table, tmp_path / name, as_json=as_json)
    assert json.loads((tmp_path / "OUT.JSONL").read_text())["probabilities"] == {"more": 0.75, "less": 0.25}
    assert (tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines() == ["before,after,label,probability", "a,a b,more,0.75"]
    write_table(table, None, as_json=True)
    assert json.loads(capsys.readouterr().out)["label"] == "more"


def test_a_pair_that_was_cut_is_told_with_its_line():
    class Short(Length):
        def classify_many(self, pairs):
            return [{**answer, "notice": "It was cut."} for answer in super().classify_many(pairs)]

    assert classify_rows([revision("a", "b c")], [7], Short())[1] == ["Line 7: It was cut."]


def test_no_text_of_a_spreadsheet_is_computed_and_lines_hold_it_as_it_is(tmp_path):
    rows = [revision('=HYPERLINK("http://x")', "+1"), revision("@a", "- b"), revision("a = b", "a")]
    table, _ = classify_rows(rows, [2, 3, 4], Length())
    for name in ("out.csv", "out.jsonl"):
        write_table(table, tmp_path / name, as_json=False)
    # A spreadsheet knows UTF-8 by this mark.
    assert (tmp_path / "out.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    with (tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as stream:
        read = [(row["before"], row["after"]) for row in csv.DictReader(stream)]
    assert read == [('\'=HYPERLINK("http://x")', "'+1"), ("'@a", "'- b"), ("a = b", "a")]
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["before"], row["after"]) for row in lines] == [(row.before, row.after) for row in rows]
