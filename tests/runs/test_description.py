"""config.json may be shared: no path of this machine is in it, and the worker gets its paths back."""

import json

import pytest

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.runs.description import describe, local_path, plain_config, read_json, with_paths, write_json


def test_every_choice_is_filled_in_and_given_names_what_was_set():
    shared, _ = describe(RunConfig(learning_rate=0.001), None)
    assert shared["model_name"] == "minilm"
    assert shared["lora_r"] == catalogue.defaults_for("minilm")["lora_r"]
    assert shared["given"] == ["learning_rate"]
    assert shared["corpus"] is None
    assert set(RunConfig.model_fields) <= set(shared)


def test_what_the_preset_filled_in_was_not_given():
    config = RunConfig(max_steps=9).with_preset("real-llm")
    assert describe(config, "real-llm")[0]["given"] == ["max_steps"]
    other = RunConfig(model_name="minilm").with_preset("real-llm")
    assert describe(other, "real-llm")[0]["given"] == ["model_name"]


def test_local_paths_are_taken_apart_and_put_back(tmp_path):
    (tmp_path / "my-model").mkdir()
    corpus = tmp_path / "essays.csv"
    corpus.touch()
    config = RunConfig(model_name=str(tmp_path / "my-model"), dataset_name=str(corpus))
    shared, private = describe(config, None)
    assert (shared["model_name"], shared["dataset_name"]) == ("my-model", "essays.csv")
    assert str(tmp_path) not in json.dumps(shared)
    assert with_paths(plain_config(shared), private)["dataset_name"] == str(corpus)
    assert with_paths(plain_config(shared), private)["model_name"] == str(tmp_path / "my-model")


def test_a_relative_path_becomes_absolute(tmp_path, monkeypatch):
    (tmp_path / "corpus").mkdir()
    monkeypatch.chdir(tmp_path)
    assert local_path("corpus", {}) == tmp_path / "corpus"
    assert local_path("../elsewhere/x.jsonl", {}) == tmp_path.parent / "elsewhere" / "x.jsonl"


def test_a_catalogue_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "starter").mkdir()
    monkeypatch.chdir(tmp_path)
    assert local_path("starter", catalogue.CORPORA) is None


@pytest.mark.parametrize("name", ["wanyu/IteraTeR_human_sent", "gpt2", None, "", "a\0b"])
def test_no_paths(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_path(name, {}) is None


@pytest.mark.parametrize(
    "name", ["/nowhere/at/all", "~/texts", "~nobody-of-this-name/x", "a/b/c", "rows.csv", "..", "C:\\texts"]
)
def test_a_path_to_nothing_is_not_shared_either(name):
    path = local_path(name, {})
    assert path is not None
    assert path.is_absolute()


def test_json_is_written_in_one_move(tmp_path):
    path = tmp_path / "private.json"
    write_json(path, {"a": "ü"}, mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_json(path) == {"a": "ü"}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": "ü"}
    assert [p.name for p in tmp_path.iterdir()] == ["private.json"]


@pytest.mark.parametrize("text", ["", "[1]", "{", "\0"])
def test_damaged_json_is_empty(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    assert read_json(tmp_path / "x.json") == {}
