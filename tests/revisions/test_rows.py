"""Which column means what, and which rows can be used."""

from collections import Counter

import pytest

from irtuning.errors import CorpusError
from irtuning.revisions.rows import Columns, Revision, guess_columns, merge_columns, read_rows, usable_rows
from irtuning.revisions.tables import Table


def table(*rows):
    return Table("a.csv", list(rows[0]), [dict(row) for row in rows], list(range(2, len(rows) + 2)))


def row(before="old text", after="new text", label="x", **more):
    return {"before": before, "after": after, "label": label, **more}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["before", "after", "label", "doc_id"], Columns("before", "after", "label", "doc_id")),
        (
            ["before_sent", "after_sent", "labels", "doc_id", "revision_depth"],
            Columns("before_sent", "after_sent", "labels", "doc_id"),
        ),
        (
            ["old_sentences", "new_sentences", "purpose_labels"],
            Columns("old_sentences", "new_sentences", "purpose_labels"),
        ),
        (["Old", " New ", "Essay ID", "Intention"], Columns("Old", " New ", "Intention", "Essay ID")),
        (["writer", "after", "before", "old"], Columns("before", "after", None, "writer")),
        (["text", "kind"], Columns()),
    ],
)
def test_usual_names_are_known(names, expected):
    assert guess_columns(names) == expected


def test_named_columns_win_over_those_of_the_catalogue():
    merged = merge_columns(Columns(before="mine"), {"before": "theirs", "after": "theirs too", "doc_id": "d"})
    assert merged == Columns("mine", "theirs too", None, "d")


def test_usable_rows_drop_what_says_nothing_and_count_why():
    dropped = Counter()
    kept = usable_rows(
        table(
            row(label=" x ", doc_id="d1"),
            row("two  words", " two words\n", doc_id=""),
            row("", " \t", doc_id=""),
            row("", "added", doc_id=""),
            row("removed", "", doc_id=""),
            row("a" * 20_001, doc_id=""),
            row("same", "same", label="", doc_id=""),
        ),
        Columns(),
        dropped,
    )
    assert [(r.before, r.after) for r in kept] == [("old text", "new text"), ("", "added"), ("removed", "")]
    assert kept[0] == Revision("old text", "new text", "x", "d1")
    assert dropped == {
        "that differ(s) in white space alone": 2,
        "with both sides empty": 1,
        "of more than 20,000 characters a side": 1,
    }


@pytest.mark.parametrize(
    ("rows", "columns", "says"),
    [
        ([row(), row(label=" ")], Columns(), "'a.csv', line 3, has no label."),
        ([{"after": "x", "label": "y"}], Columns(), "no column 'before'; its columns are 'after', 'label'."),
        ([{"before": "x", "label": "y"}], Columns(), "no column 'after'"),
        ([{"before": "x", "after": "y"}], Columns(), "no column 'label'"),
        ([row()], Columns(doc="essay"), "no column 'essay'"),
    ],
)
def test_missing_labels_and_columns_are_named(rows, columns, says):
    with pytest.raises(CorpusError) as caught:
        usable_rows(table(*rows), columns, Counter())
    assert says in caught.value.what
    assert caught.value.advice


def test_read_rows_keeps_every_row_and_needs_no_label(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("old,new\nx,y\n,\nsame,same\n,\n", encoding="utf-8")
    # An empty row between others keeps its place; those at the end are none.
    assert read_rows(path) == ([Revision("x", "y"), Revision("", ""), Revision("same", "same")], [2, 3, 4])
    assert read_rows(path, Columns(before="new", after="old"))[0][0] == Revision("y", "x")
