"""Corpora out of folders and files: parts, labels, notices, refusals."""

import json
import random

import pytest

from irtuning import catalogue
from irtuning.errors import CorpusError
from irtuning.revisions import corpora
from irtuning.revisions.corpora import Columns, label_meanings, load_corpus, load_test
from irtuning.revisions.tables import Table


def rows(count, labels="ab", documents=10, name="r"):
    return [
        {
            "before": f"{name} {i} before",
            "after": f"{name} {i} after",
            "label": labels[i % len(labels)],
            "doc_id": f"{name}{i % documents}",
        }
        for i in range(count)
    ]


def save(path, some):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
    return path


def sizes(corpus):
    return [len(corpus.part(p)) for p in ("train", "validation", "test")]


def refused(name, columns=None):
    with pytest.raises(CorpusError) as caught:
        load_corpus(str(name), columns)
    assert caught.value.advice
    assert "/" not in str(caught.value).replace("owner/name", "")
    return str(caught.value)


@pytest.mark.parametrize(("labels", "left"), [
    (["relevant", "LCE", "claim"], ["relevant", "LCE"]),
    (["style", "clarity", "others"], ["clarity", "style"]),
    (["others", "claim", "mine"], ["claim", "mine", "others"]),
    (["relevant", "LCE", "others"], ["LCE", "others", "relevant"]),
    (["style", "others"], ["others", "style"]),
])
def test_the_label_that_stands_for_no_intention_is_left_out_of_its_own_corpus_alone(tmp_path, labels, left):
    corpus = load_corpus(str(save(tmp_path / "a.jsonl", rows(60, labels=labels))))
    assert list(corpus.labels) == left
    said = [text for text in corpus.notices if "labelled" in text]
    assert said == ([f"20 rows labelled {labels[-1]!r} were left out."] if len(left) < len(labels) else [])


@pytest.mark.parametrize("name", ["erevise-purpose", "argrewrite"])
def test_a_corpus_that_only_its_users_can_bring_says_how(name):
    assert refused(name) == f"The corpus {name} does not come along and is on no hub. {catalogue.BROUGHT[name]}"


@pytest.mark.parametrize("validation", ["validation", "valid", "val", "dev", "Dev"])
def test_a_folder_gives_its_parts(tmp_path, validation):
    folder = tmp_path / "mine"
    for part, count in (("train", 20), (validation, 6), ("test", 8)):
        save(folder / f"{part}.jsonl", rows(count, name=part))
    save(folder / "other.jsonl", rows(3))
    corpus = load_corpus(str(folder))
    assert (corpus.name, sizes(corpus), corpus.labels) == ("mine", [20, 6, 8], ("a", "b"))
    assert corpus.notices == ()
    assert corpus.train[0].before == "train 0 before"


def test_parts_may_be_files_of_different_kinds_with_columns_of_different_names(tmp_path):
    save(tmp_path / "train.jsonl", rows(10))
    (tmp_path / "dev.csv").write_text("old;new;labels\nx;y;a\n", encoding="utf-8")
    (tmp_path / "test.tsv").write_text("before_sent\tafter_sent\tpurpose\nu\tv\tb\n", encoding="utf-8")
    assert sizes(load_corpus(str(tmp_path))) == [10, 1, 1]


def test_a_folder_without_validation_takes_some_of_its_training_documents(tmp_path):
    save(tmp_path / "train.jsonl", rows(100, documents=20))
    save(tmp_path / "test.jsonl", rows(10, name="t"))
    corpus = load_corpus(str(tmp_path))
    assert sizes(corpus) == [85, 15, 10]
    assert not {r.doc_id for r in corpus.train} & {r.doc_id for r in corpus.validation}
    assert any("no validation part: 15 rows" in n for n in corpus.notices)


def test_folders_that_lack_a_part_or_hold_it_twice_are_refused(tmp_path):
    save(tmp_path / "a" / "train.jsonl", rows(10))
    assert "holds no test file" in refused(tmp_path / "a")
    save(tmp_path / "b" / "test.jsonl", rows(10))
    assert "holds no train file" in refused(tmp_path / "b")
    save(tmp_path / "a" / "dev.jsonl", rows(10))
    save(tmp_path / "a" / "validation.jsonl", rows(10))
    assert "holds both dev.jsonl and validation.jsonl" in refused(tmp_path / "a")


def test_one_file_is_split_by_document_the_same_way_whatever_the_order(tmp_path):
    some = rows(200, documents=40)
    corpus = load_corpus(str(save(tmp_path / "mine.jsonl", some)))
    assert corpus.name == "mine.jsonl"
    assert sizes(corpus) == [140, 30, 30]
    documents = [{r.doc_id for r in corpus.part(p)} for p in ("train", "validation", "test")]
    assert not documents[0] & documents[1]
    assert not documents[0] & documents[2]
    assert not documents[1] & documents[2]
    random.Random(1).shuffle(some)
    again = load_corpus(str(save(tmp_path / "mixed.jsonl", some)))
    assert set(again.test) == set(corpus.test)
    assert corpus.notices == ()


def test_one_file_without_documents_is_split_by_its_texts_and_says_so(tmp_path):
    some = [{k: v for k, v in row.items() if k != "doc_id"} for row in rows(100)]
    corpus = load_corpus(str(save(tmp_path / "mine.jsonl", some)))
    assert sizes(corpus) == [68, 16, 16]
    assert {r.label for r in corpus.test} == {r.label for r in corpus.validation} == {"a", "b"}
    assert any("names no documents" in n for n in corpus.notices)


def test_rows_are_split_where_documents_would_leave_a_part_or_a_label_out(tmp_path):
    two_writers = load_corpus(str(save(tmp_path / "few.jsonl", rows(40, documents=2))))
    assert min(sizes(two_writers)) > 0
    assert any("writers leak" in n for n in two_writers.notices)
    # A label that is common, but in one document alone.
    some = [*rows(100, documents=20), *({**r, "doc_id": "only"} for r in rows(12, labels="c", name="c"))]
    corpus = load_corpus(str(save(tmp_path / "label.jsonl", some)))
    assert all("c" in {r.label for r in corpus.part(p)} for p in ("train", "validation", "test"))
    assert any("no 'c' in" in n and "writers leak" in n for n in corpus.notices)


def test_a_file_of_a_dozen_rows_can_be_tried(tmp_path):
    some = [{"before": f"x{i}", "after": f"y{i}", "label": "ab"[i % 2]} for i in range(12)]
    corpus = load_corpus(str(save(tmp_path / "dozen.jsonl", some)))
    assert sizes(corpus) == [8, 2, 2]


@pytest.mark.parametrize(
    ("some", "says"),
    [
        (rows(20, labels="a"), "have one label, 'a'"),
        ([*rows(20, labels="a"), {"before": "x", "after": "y", "label": "b"}], "Too few labels"),
        (rows(3), "Too few labels"),
        (rows(5), "too few rows to set some aside (5)"),
        ([{"before": "x", "after": " x", "label": "a"}] * 8, "has no usable row. Left out: 8 rows that differ in white space alone."),
        ([{"before": "x" * 30_000, "after": "y", "label": "a"}], "Left out: 1 row of more than 20,000 characters a side."),
        (rows(400, labels=[f"text {i}" for i in range(200)]), "has 200 different labels"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(tmp_path, some, says):
    assert says in refused(save(tmp_path / "mine.jsonl", some))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere", "There is no corpus 'nowhere'."),
        ("", "There is no corpus ''."),
        ("./gone.csv", "There is no file or folder 'gone.csv'."),
        ("/secret/place/gone", "There is no file or folder 'gone'."),
        ("~nobody/x.csv", "There is no file or folder 'x.csv'."),
        ("a/b/c", "There is no file or folder 'c'."),
        ("x" * 5000, "There is no corpus 'xxx"),
        ("nul\0name", "There is no corpus"),
    ],
)
def test_unknown_names_list_what_there_is(name, says):
    text = refused(name)
    assert says in text
    assert "starter, iterater-human" in text
    assert len(text) < 300


def test_columns_can_be_named(tmp_path):
    path = tmp_path / "mine.csv"
    lines = (f"x{i},y{i},{'ab'[i % 2]},w{i % 10}" for i in range(60))
    path.write_text("v1,v2,why,who\n" + "\n".join(lines), encoding="utf-8")
    corpus = load_corpus(str(path), Columns("v1", "v2", "why", "who"))
    assert sum(sizes(corpus)) == 60
    assert corpus.train[0].doc_id.startswith("w")
    assert "no column 'before'" in refused(path)
    assert "no column 'nope'" in refused(path, Columns("nope", "v2", "why"))


def test_the_fingerprint_changes_with_content_and_part_and_with_nothing_else(tmp_path):
    first = load_corpus(str(save(tmp_path / "a.jsonl", rows(60))))
    renamed = load_corpus(str(save(tmp_path / "b.jsonl", rows(60))))
    changed = rows(60)
    changed[7]["after"] += "!"
    other = load_corpus(str(save(tmp_path / "c.jsonl", changed)))
    assert first.fingerprint == renamed.fingerprint != other.fingerprint
    assert len(first.fingerprint) == 16
    assert int(first.fingerprint, 16) >= 0


def test_an_evaluation_scores_the_test_part_of_a_folder_and_of_the_file_trained_on_else_the_whole_file(tmp_path):
    for part in ("train", "dev", "test"):
        save(tmp_path / "f" / f"{part}.jsonl", rows(12, name=part))
    found, which = load_test(str(tmp_path / "f"))
    assert (len(found), which) == (12, "Scored on the test part of f: 12 rows.")
    path = save(tmp_path / "one.jsonl", [*rows(60), {"before": "x", "after": "x ", "label": "a"}])
    corpus = load_corpus(str(path))
    found, which = load_test(str(path), trained_on=corpus.fingerprint)
    assert found == corpus.test
    assert "test part of one.jsonl" in which
    found, which = load_test(str(path), trained_on="another")
    assert (len(found), which) == (60, "Scored on all of one.jsonl: 60 rows, 1 left out.")
    # One edit after training, and most rows are those that trained it.
    which = load_test(str(path), trained_on="another", trained_name="one.jsonl")[1]
    assert "left out. A file of this name trained the adapter with other texts, labels or documents" in which
    assert "of this name" not in load_test(str(path), trained_on=corpus.fingerprint, trained_name="one.jsonl")[1]
    # Which rows trained it depends on the documents that were named then.
    apart = load_corpus(str(path), Columns(doc=""))
    assert apart.fingerprint != corpus.fingerprint
    assert load_test(str(path), None, apart.fingerprint, Columns(doc=""))[0] == apart.test
    # An adapter of before does not know its columns: they may be named again.
    assert load_test(str(path), Columns(doc=""), apart.fingerprint)[0] == apart.test
    # Other labels were asked for, and no rows trained on those.
    other = save(tmp_path / "two.jsonl", [{**row, "second": "xyz"[i % 3]} for i, row in enumerate(rows(60))])
    known = load_corpus(str(other), Columns(label="label"))
    assert load_test(str(other), None, known.fingerprint, Columns(label="label"))[0] == known.test
    assert {r.label for r in load_test(str(other), Columns(label="second"), known.fingerprint, Columns(label="label"))[0]} == set("xyz")
    with pytest.raises(CorpusError, match="no column 'secnd'"):
        load_test(str(other), Columns(label="secnd"), known.fingerprint, Columns(label="label"))
    # The same rows as in training, when the test file of a folder is named by itself.
    assert load_test(str(tmp_path / "f" / "test.jsonl"))[0] == load_corpus(str(tmp_path / "f")).test
    # One class is no hindrance to scoring.
    assert len(load_test(str(save(tmp_path / "a.jsonl", rows(5, labels="a"))), trained_on="x")[0]) == 5


def test_labels_of_a_known_set_stand_in_its_order_and_have_meanings(tmp_path):
    known = list(catalogue.ARGREWRITE_LABELS)[:4]
    corpus = load_corpus(str(save(tmp_path / "mine.jsonl", rows(80, labels=known[::-1], documents=20))))
    assert corpus.labels == tuple(known)
    assert label_meanings(["Evidence", "nonsense"]) == {
        "Evidence": catalogue.ARGREWRITE_LABELS["Evidence"],
        "nonsense": "",
    }
    assert all(label_meanings(catalogue.EREVISE_LABELS).values())
    assert all(label_meanings(catalogue.ITERATER_LABELS).values())


def test_documents_that_are_said_to_be_none_are_not_guessed_again(tmp_path):
    some = [{**row, "author": row["doc_id"]} for row in rows(100)]
    path = str(save(tmp_path / "mine.jsonl", some))
    assert not any("names no documents" in n for n in load_corpus(path).notices)
    corpus = load_corpus(path, Columns(doc=""))
    assert any("names no documents" in n for n in corpus.notices)
    assert not any(r.doc_id for r in corpus.train)


def test_a_data_set_with_a_test_part_alone_is_scored_whole_and_not_trained_on(monkeypatch):
    some = [{**row, "doc_id": ""} for row in rows(20)]
    alone = {"test": Table("x/y (test)", list(some[0]), some, list(range(20)))}
    monkeypatch.setattr(corpora, "load_hub", lambda name: alone)
    found, which = load_test("some/bench")
    assert (len(found), which) == (20, "Scored on the test part of some/bench: 20 rows.")
    with pytest.raises(CorpusError, match="no train part"):
        load_corpus("some/bench")


def test_why_no_row_can_be_scored_is_said(tmp_path):
    path = save(tmp_path / "mine.jsonl", [{"before": "", "after": "", "label": "a"}, {"before": "x" * 20_001, "after": "", "label": "a"}])
    with pytest.raises(CorpusError, match=r"'mine\.jsonl' has no row to score") as caught:
        load_test(str(path))
    assert "1 row with both sides empty; 1 row of more than 20,000 characters a side" in str(caught.value)


def test_one_column_cannot_be_both_texts(tmp_path):
    path = save(tmp_path / "mine.jsonl", rows(20))
    with pytest.raises(CorpusError, match="before and after are both taken from the column 'before'"):
        load_corpus(str(path), Columns("before", "before"))
