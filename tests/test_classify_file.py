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
    table, problems = classify_rows(rows, Length())
    assert [row["label"] for row in table] == ["more", None, None, "less", None]
    assert [row["before"] for row in table] == [row.before for row in rows]
    assert table[0]["probability"] == 0.75
    assert table[1]["probability"] is None
    assert [said.split(".")[0] for said in problems] == ["Row 2 has no label", "Row 3 has no label", "Row 5 has no label"]
    assert "the same" in problems[0]


def test_where_nothing_was_revised_nothing_is_asked():
    classifier = Length()
    table, problems = classify_rows([revision("a", "a")], classifier)
    assert (len(table), len(problems), classifier.asked) == (1, 1, 0)
    assert classify_rows([], classifier) == ([], [])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_texts_come_back_as_they_were(tmp_path, suffix):
    rows = [revision('He said "no",\nthen', "schön \u2028 é"), revision("a", "a")]
    output = tmp_path / f"out{suffix}"
    write_table(classify_rows(rows, Length())[0], output, as_json=False)
    with output.open(encoding="utf-8", newline="") as stream:
        read = list(csv.DictReader(stream)) if suffix == ".csv" else [json.loads(line) for line in stream]
    assert [(row["before"], row["after"]) for row in read] == [(row.before, row.after) for row in rows]
    assert not read[1]["label"]


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path):
    with pytest.raises(ConfigError, match="no folder"):
        check_output(tmp_path / "missing" / "out.csv")
    with pytest.raises(ConfigError, match="is a folder"):
        check_output(tmp_path)
    check_output(tmp_path / "out.csv")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_table([], tmp_path, as_json=False)
