"""Data sets of the hub, on rows of our own in IteraTeR's schema; no test asks the hub."""

import json
import shutil
import time

import datasets
import pytest

from irtuning.errors import CorpusError
from irtuning.revisions import hub
from irtuning.revisions.corpora import Columns, load_corpus
from irtuning.revisions.hub import load_hub, looks_like_hub_id

LABELS = ("clarity", "fluency", "coherence", "style", "meaning-changed", "others")
ITERATER = "wanyu/IteraTeR_human_sent"


def iterater_rows(count, part):
    return [
        {
            "before_sent": f"{part} sentence {i} before",
            "after_sent": f"{part} sentence {i} after",
            "labels": LABELS[i % 6],
            "doc_id": f"{part}{i % 5}",
            "revision_depth": 1,
        }
        for i in range(count)
    ]


@pytest.fixture
def answering(monkeypatch):
    """The hub answers, and gives what a test puts in: part -> Dataset, under a name."""
    given = {}
    monkeypatch.setattr(hub, "hub_answers", lambda: True)

    def load(name):
        if name not in given:
            raise datasets.exceptions.DatasetNotFoundError(name)
        return datasets.DatasetDict(given[name])

    monkeypatch.setattr(datasets, "load_dataset", load)
    return given


def test_iterater_is_read_in_its_own_schema(answering, tmp_path):
    for part, count in (("train", 36), ("dev", 12), ("test", 12)):
        (tmp_path / f"{part}.json").write_text("".join(json.dumps(r) + "\n" for r in iterater_rows(count, part)))
    answering[ITERATER] = {
        "train": datasets.Dataset.from_json(str(tmp_path / "train.json"), cache_dir=str(tmp_path)),
        "validation": datasets.Dataset.from_json(str(tmp_path / "dev.json"), cache_dir=str(tmp_path)),
        "test": datasets.Dataset.from_json(str(tmp_path / "test.json"), cache_dir=str(tmp_path)),
    }
    corpus = load_corpus("iterater-human")
    assert corpus.name == "iterater-human"
    assert corpus.labels == LABELS[:5]  # the catalogue's order, others dropped
    assert [len(corpus.part(p)) for p in ("train", "validation", "test")] == [30, 10, 10]
    assert (corpus.train[0].before, corpus.train[0].after) == ("train sentence 0 before", "train sentence 0 after")
    assert corpus.train[1].doc_id == "train1"
    assert corpus.notices == ("10 rows labelled 'others' were left out.",)


def test_classes_given_as_numbers_become_their_names_and_dev_is_validation(answering):
    features = datasets.Features(
        {
            "old": datasets.Value("string"),
            "new": datasets.Value("string"),
            "kind": datasets.ClassLabel(names=["up", "down"]),
        }
    )

    def part(name, count):
        rows = {"old": [f"{name}{i}" for i in range(count)], "new": [f"{name}{i}!" for i in range(count)]}
        return datasets.Dataset.from_dict({**rows, "kind": [i % 2 for i in range(count)]}, features=features)

    answering["some/pairs"] = {"train": part("a", 8), "dev": part("b", 4), "test": part("c", 4)}
    corpus = load_corpus("some/pairs", Columns(label="kind"))
    assert corpus.labels == ("down", "up")
    assert corpus.name == "some/pairs"
    assert [r.label for r in corpus.validation] == ["up", "down", "up", "down"]


def test_a_data_set_of_one_part_is_split(answering):
    rows = [{"before": f"x {i}", "after": f"y {i}", "label": "ab"[i % 2], "doc_id": f"d{i % 20}"} for i in range(100)]
    answering["some/one"] = {"train": datasets.Dataset.from_list(rows)}
    corpus = load_corpus("some/one")
    assert [len(corpus.part(p)) for p in ("train", "validation", "test")] == [70, 15, 15]


def test_what_the_hub_does_not_have_or_cannot_give_is_said(answering, monkeypatch):
    with pytest.raises(CorpusError, match="The hub has no data set 'some/gone'"):
        load_corpus("some/gone")

    def is_gated(name):
        raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' is a gated dataset on the Hub.")

    monkeypatch.setattr(datasets, "load_dataset", is_gated)
    with pytest.raises(CorpusError, match="'some/closed' is gated") as caught:
        load_hub("some/closed")
    assert "HF_TOKEN" in caught.value.advice

    def breaks(name):
        raise ValueError("no such builder")

    monkeypatch.setattr(datasets, "load_dataset", breaks)
    with pytest.raises(CorpusError, match=r"cannot be loaded \(ValueError\)"):
        load_hub("some/odd")


def test_a_hub_that_does_not_answer_is_said_quickly(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    start = time.monotonic()
    with pytest.raises(CorpusError, match="the hub does not answer") as caught:
        load_corpus("iterater-human")
    assert time.monotonic() - start < 5
    assert "starter" in caught.value.advice


def test_a_data_set_in_the_cache_needs_no_hub(monkeypatch, tmp_path):
    """A cache folder as `datasets` lays it, filled with our rows, and no hub: read at once, without a request."""
    source = tmp_path / "train.json"
    source.write_text("".join(json.dumps(r) + "\n" for r in iterater_rows(60, "t")))
    datasets.load_dataset("json", data_files={"train": str(source)}, cache_dir=str(tmp_path / "made"))
    info = next((tmp_path / "made").rglob("dataset_info.json"))
    name = "itera_te_r_human_sent"
    target = tmp_path / "cache" / f"wanyu___{name}" / "default" / "0.0.0" / "0123abcd"
    shutil.copytree(info.parent, target)
    (target / "json-train.arrow").rename(target / f"{name}-train.arrow")
    text = (target / "dataset_info.json").read_text().replace('"dataset_name": "json"', f'"dataset_name": "{name}"')
    (target / "dataset_info.json").write_text(text)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    start = time.monotonic()
    tables = load_hub(ITERATER)
    assert time.monotonic() - start < 10
    assert len(tables["train"].rows) == 60
    assert tables["train"].rows[0]["before_sent"] == "t sentence 0 before"


def test_offline_mode_asks_nobody(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("httpx.head", lambda *a, **k: pytest.fail("a request was made"))
    assert hub.hub_answers() is False


def test_asking_the_hub_ends_after_its_time_even_where_a_name_is_not_looked_up(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("irtuning.hub.SECONDS", 0.2)

    def hangs(*args, **keywords):
        time.sleep(3)
        raise OSError("no such name")

    monkeypatch.setattr("httpx.head", hangs)
    start = time.monotonic()
    assert hub.hub_answers() is False
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        (ITERATER, True),
        ("a/b.c-d_e", True),
        ("starter", False),
        ("a/b/c", False),
        ("../b", False),
        ("a/..", False),
        ("a b/c", False),
    ],
)
def test_hub_ids_have_an_owner_and_a_name(name, is_one):
    assert looks_like_hub_id(name) is is_one
