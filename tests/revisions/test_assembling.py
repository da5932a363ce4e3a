"""What is left out or told of when tables become a corpus."""

from __future__ import annotations

from irtuning.revisions.corpora import load_corpus
from tests.revisions.test_corpora import rows, save, sizes


def test_rows_that_say_nothing_are_dropped_with_a_notice(tmp_path):
    some = [
        *rows(60, documents=20),
        {"before": "a  b", "after": "a b ", "label": "a", "doc_id": "x"},
        {"before": "", "after": " ", "label": "a", "doc_id": "x"},
        {"before": None, "after": None, "label": "a", "doc_id": "x"},
    ]
    corpus = load_corpus(str(save(tmp_path / "mine.jsonl", some)))
    assert sum(sizes(corpus)) == 60
    assert corpus.notices == (
        "1 row that differs in white space alone was left out.",
        "2 rows with both sides empty were left out.",
    )


def test_a_label_seen_once_is_kept_with_a_notice_and_one_that_is_only_tested_is_left_out(tmp_path):
    save(tmp_path / "train.jsonl", [*rows(20), {"before": "x", "after": "y", "label": "once"}])
    save(tmp_path / "dev.jsonl", rows(6, name="v"))
    save(tmp_path / "test.jsonl", [*rows(6, name="t"), {"before": "p", "after": "q", "label": "new"}])
    corpus = load_corpus(str(tmp_path))
    assert corpus.labels == ("a", "b", "once")
    assert len(corpus.test) == 6
    assert corpus.notices == (
        "Only one row to train on: label 'once'.",
        "1 row labelled 'new' left out of test: training has no such row.",
    )


def test_documents_on_both_sides_are_said(tmp_path):
    for part in ("train", "dev", "test"):
        save(tmp_path / f"{part}.jsonl", [{**r, "doc_id": r["doc_id"][-1]} for r in rows(20, name=part, documents=4)])
    assert load_corpus(str(tmp_path)).notices == tuple(
        f"4 documents stand in {one} and in {other}: scores may be too good."
        for one, other in (("training", "validation"), ("training", "test"), ("validation", "test"))
    )


def test_rows_whose_texts_stand_in_an_earlier_part_too_are_said(tmp_path):
    train, dev, test = (rows(20, name=part) for part in ("train", "dev", "test"))
    again = {"before": f" {train[3]['before']}", "after": train[3]["after"].replace(" ", "\n"), "label": "b"}
    save(tmp_path / "train.jsonl", [*train, train[0]])
    save(tmp_path / "dev.jsonl", [*dev, again])
    save(tmp_path / "test.jsonl", [*test, {**dev[0], "doc_id": "t"}, again])
    assert load_corpus(str(tmp_path)).notices == (
        "1 row of validation has the same two texts as a row of training: scores may be too good.",
        "2 rows of test have the same two texts as a row of training or validation: scores may be too good.",
    )


def test_labels_that_differ_in_case_or_unicode_form_alone_stay_apart_with_a_notice(tmp_path):
    labels = ["Fluency", "fluency", "Cafe\u0301", "caf\u00e9", "style"]
    corpus = load_corpus(str(save(tmp_path / "mine.jsonl", rows(150, labels=labels, documents=30))))
    assert set(corpus.labels) == set(labels)
    said = [text for text in corpus.notices if "told apart" in text]
    assert said == [
        f"Labels that are written almost the same are told apart: {one!r}, {other!r}."
        for one, other in (("Cafe\u0301", "caf\u00e9"), ("Fluency", "fluency"))
    ]
