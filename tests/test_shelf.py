"""AdapterShelf, on a tiny adapter and on the one that comes with the studio."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest

from irtuning.classify import SHIPPED
from irtuning.config import RunConfig
from irtuning.errors import AdapterError
from irtuning.runs.store import RunStore
from irtuning.shelf import AdapterShelf
from irtuning.tuning.device import choose_device


def test_the_shelf_lists_what_comes_with_the_studio():
    rows = AdapterShelf(None).list()
    assert SHIPPED in [row["id"] for row in rows if row["shipped"]]
    shipped = next(row for row in rows if row["id"] == SHIPPED)
    assert (shipped["model"], shipped["corpus"]) == ("minilm", "starter")
    assert 0 < shipped["floor_macro_f1"] < 1
    assert shipped["macro_f1"] > 0.5
    with pytest.raises(AdapterError, match="no adapter"):
        AdapterShelf(None).folder("../checkpoints")


def test_the_shelf_reads_a_store_and_keeps_one_loaded(adapter, tmp_path, monkeypatch):
    store = RunStore(tmp_path / "runs")
    run = store.create(RunConfig(model_name="minilm"))
    shutil.copytree(adapter, store.path(run) / "adapter")
    shutil.copy(adapter.parent / "private.json", store.path(run) / "private.json")
    shelf = AdapterShelf(store)
    assert shelf.list()[0]["id"] == run
    answer = shelf.classify("the cat", "the dog", run)
    assert (answer["adapter"], set(answer)) == (run, {"label", "probabilities", "adapter", "abstained"})
    assert shelf.classifier(run) is shelf.classifier(run)


class Elsewhere:
    """Stands for a Classifier; notes where it was to compute."""

    asked: ClassVar[list[str]] = []

    def __init__(self, folder, device):
        self.asked.append(device)
        self.device = "cuda" if device == "auto" else device


@pytest.fixture
def large_shelf(adapter, tmp_path, monkeypatch):
    """A store with an adapter of a small and of a large model of the catalogue."""
    store = RunStore(tmp_path)
    for model in ("minilm", "llama3.1-8b"):
        run = tmp_path / f"{model.split('.')[0]}-otter-0001"
        shutil.copytree(adapter, run / "adapter")
        (run / "config.json").write_text("{}")
        (run / "events.jsonl").touch()
        origin = json.loads((run / "adapter" / "irtuning.json").read_text())
        (run / "adapter" / "irtuning.json").write_text(json.dumps({**origin, "model_name": model}))
    monkeypatch.setattr("irtuning.shelf.Classifier", Elsewhere)
    Elsewhere.asked.clear()
    return AdapterShelf(store)


def device(kind):
    made = replace(choose_device("cpu"), device=kind)
    return lambda *given: made


def test_a_large_model_classifies_on_the_gpu_and_leaves_it_to_a_run(large_shelf, monkeypatch):
    monkeypatch.setattr("irtuning.tuning.device.choose_device", device("cuda"))
    given_back = []
    monkeypatch.setattr("irtuning.tuning.device.give_back_memory", given_back.append)
    small = large_shelf.classifier("minilm-otter-0001")
    large_shelf.make_room()
    assert large_shelf.classifier("minilm-otter-0001") is small
    large = large_shelf.classifier("llama3-otter-0001")
    assert Elsewhere.asked == ["cpu", "auto"]
    large_shelf.make_room()
    assert given_back == ["cuda"]
    assert large_shelf.classifier("llama3-otter-0001") is not large


def test_a_model_that_the_memory_cannot_hold_is_refused_in_a_sentence(large_shelf, monkeypatch):
    monkeypatch.setattr("irtuning.tuning.device.choose_device", device("cpu"))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=4 * 2**30))
    with pytest.raises(AdapterError, match="14 GiB, and 4 are left"):
        large_shelf.classifier("llama3-otter-0001")
    large_shelf.classifier("minilm-otter-0001")
