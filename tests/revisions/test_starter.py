"""The shipped starter corpus: what its card promises."""

import json
import re
from collections import Counter, defaultdict

import pytest

from irtuning import catalogue
from irtuning.revisions.corpora import ASSETS, load_corpus
from irtuning.revisions.tables import read_table

FOLDER = ASSETS / "starter"
PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def parts():
    def read(part):
        return [json.loads(line) for line in (FOLDER / f"{part}.jsonl").read_bytes().split(b"\n") if line]

    return {part: read(part) for part in PARTS}


@pytest.fixture(scope="module")
def rows(parts):
    return [row for part in PARTS for row in parts[part]]


def test_it_loads_as_the_default_corpus_without_a_notice(parts):
    corpus = load_corpus(catalogue.DEFAULT_CORPUS)
    assert corpus.labels == tuple(catalogue.ITERATER_LABELS)
    assert corpus.notices == ()
    assert [len(corpus.part(p)) for p in PARTS] == [len(parts[p]) for p in PARTS]


def test_it_is_large_enough_and_every_label_is_in_every_part(parts, rows):
    assert len(rows) >= 400
    assert len(parts["test"]) >= 100
    for part in PARTS:
        counts = Counter(row["label"] for row in parts[part])
        assert set(counts) == set(catalogue.ITERATER_LABELS)
        assert min(counts.values()) >= 10
    for label in catalogue.ITERATER_LABELS:
        shares = [sum(row["label"] == label for row in parts[p]) / len(parts[p]) for p in PARTS]
        assert max(shares) - min(shares) < 0.05


def test_rows_are_whole(rows):
    for row in rows:
        assert list(row) == ["before", "after", "label", "doc_id", "genre"]
        assert all(isinstance(value, str) for value in row.values())
        assert row["before"].split() != row["after"].split()
        assert row["before"] == row["before"].strip()
        assert row["after"] == row["after"].strip()
        assert row["doc_id"]
        assert row["genre"]


def test_no_document_is_in_two_parts_and_no_pair_or_text_comes_twice(parts, rows):
    documents = [{row["doc_id"] for row in parts[p]} for p in PARTS]
    assert sum(map(len, documents)) == len(set.union(*documents)) >= 80
    assert len({(row["before"], row["after"]) for row in rows}) == len(rows)
    texts = Counter(text for row in rows for text in (row["before"], row["after"]) if text)
    assert max(texts.values()) == 1


def test_there_is_no_template(rows):
    documents = defaultdict(set)
    for row in rows:
        for side in ("before", "after"):
            found = re.findall(r"\w+(?:['’]\w+)*", row[side].lower())
            for i in range(len(found) - 4):
                documents[tuple(found[i : i + 5])].add(row["doc_id"])
    assert max(map(len, documents.values())) <= 3
    assert sum(len(where) > 1 for where in documents.values()) <= 20


def test_additions_and_deletions_are_few(rows):
    empty = sum(not row["before"] or not row["after"] for row in rows)
    assert 0.01 < empty / len(rows) < 0.1


def test_the_card_says_how_it_was_made_and_counts_right(parts):
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for phrase in ("written by a language model", "no agreement was measured", "not a benchmark", "cc-by-4.0"):
        assert phrase in card
    for label in catalogue.ITERATER_LABELS:
        counts = [sum(row["label"] == label for row in parts[p]) for p in PARTS]
        assert re.search(rf"\| {label} \| [^|]+ \| {counts[0]} \| {counts[1]} \| {counts[2]} \|", card)
    sizes = [len(parts[p]) for p in PARTS]
    assert f"| all | | {sizes[0]} | {sizes[1]} | {sizes[2]} |" in card
    assert f"Starter corpus: {sum(sizes)} revisions" in card


def test_the_sample_is_a_part_of_it_and_a_corpus_by_itself(parts):
    columns, rows = read_table(FOLDER / "sample.csv")
    assert columns == ["before", "after", "label", "doc_id"]
    assert len(rows) == 12
    assert {row["label"] for row in rows} == set(catalogue.ITERATER_LABELS)
    train = {(row["before"], row["after"], row["label"], row["doc_id"]) for row in parts["train"]}
    assert {tuple(row.values()) for row in rows} <= train
    corpus = load_corpus(str(FOLDER / "sample.csv"))
    assert sum(len(corpus.part(p)) for p in PARTS) == 12
