"""The list of runs: what a row says, and that two hundred runs cost next to nothing."""

import json
import shutil
import time

import pytest

from irtuning.events import Evaluated, Finished, RunStarted, Step
from irtuning.runs import listing
from irtuning.runs.store import EventLog, RunStore
from tests.pace import slowness

METRICS = {"accuracy": 0.6, "macro_f1": 0.55, "weighted_f1": 0.58, "au_prc": 0.6, "per_class": {"a": {"f1": 0.5}}}


def fill(store, run, steps=300, layers=30):
    """A finished run of usual size."""
    log = EventLog(store.path(run))
    log.append(
        RunStarted(
            layers=layers, layer_names=[f"model.layers.{i}" for i in range(layers)], parameters_trainable=1,
            parameters_total=2, device="cpu", dtype="bfloat16", steps=steps, corpus_sizes={}, labels=["a", "b"],
        )
    )
    step = Step(
        step=1, epoch=0.1, loss=1.0, learning_rate=0.1, scores=[1.2345678901234567] * layers, selected=list(range(15)),
        moved=list(range(15)), seconds=1.0, tokens=900, memory_mib=1000.0,
    )
    with store.events_path(run).open("a") as stream:
        for number in range(1, steps + 1):
            stream.write(step.model_copy(update={"step": number, "time": float(number)}).model_dump_json() + "\n")
    log.append(Evaluated(step=steps, subset="test", of="network", metrics=METRICS, confusion=[[1, 2], [3, 4]]))
    closing = {
        "labels": ["a", "b"], "network": METRICS, "floor": {**METRICS, "macro_f1": 0.5},
        "difference": {"macro_f1": 0.05, "low": -0.01, "high": 0.11, "rows": 120, "clear": False},
        "wrong": [{"before": "x" * 300, "after": "y" * 300}] * 10,
    }
    (store.path(run) / "metrics.json").write_text(json.dumps(closing))
    log.append(Finished(what="Done."))


def test_a_row_says_what_the_list_shows(store, small):
    run = store.create(small, queued=True)
    fill(store, run)
    (row,) = store.list()
    expected = {
        "run": run, "state": "finished", "model": "minilm", "corpus": "starter", "method": "ir", "metric": "gradient",
        "recorded": False, "step": 300, "steps": 300, "layers": 30, "what": "Done.", "place": None,
        "has_adapter": False,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["metrics"] == {"accuracy": 0.6, "macro_f1": 0.55, "weighted_f1": 0.58, "au_prc": 0.6}
    assert row["floor"]["macro_f1"] == 0.5
    assert row["difference"]["clear"] is False
    assert row["size"] > 100_000
    assert row["started"].startswith("20")
    json.dumps(row, allow_nan=False)


def test_a_run_that_did_not_get_far_has_no_metrics(store, small):
    store.create(small, queued=True)
    (row,) = store.list()
    assert (row["metrics"], row["floor"], row["difference"], row["layers"]) == (None, None, None, 0)


def test_checkpoints_that_go_after_the_end_no_longer_count(store, small):
    run = store.create(small, queued=True)
    left = store.path(run) / "checkpoints" / "checkpoint-3"
    left.mkdir(parents=True)
    (left / "trainable.safetensors").write_bytes(bytes(500_000))
    fill(store, run, steps=1)
    assert store.list()[0]["size"] > 500_000
    shutil.rmtree(left.parent)
    assert store.list()[0]["size"] < 100_000


def test_newest_first(store, small):
    runs = [store.create(small, queued=True) for _ in range(4)]
    assert [row["run"] for row in store.list()] == runs[::-1]


def test_what_changed_is_seen_at_once(store, small):
    run = store.create(small)
    assert store.list()[0]["step"] == 0
    EventLog(store.path(run)).append(
        Step(step=7, epoch=0.1, loss=None, learning_rate=0.1, scores=[], selected=[], moved=[], seconds=1.0, tokens=1,
             memory_mib=1.0)
    )
    assert (store.list()[0]["step"], store.list()[0]["phase"]) == (7, "training")
    store.update_config(run, dataset_name="other")
    assert store.list()[0]["corpus"] == "other"


def test_other_things_in_the_folder_are_no_runs(store, small):
    run = store.create(small, queued=True)
    (store.home / "notes.txt").touch()
    (store.home / "empty").mkdir()
    (store.home / "Big-Name").mkdir()
    assert [row["run"] for row in store.list()] == [run]


@pytest.fixture
def two_hundred(store, small):
    first = store.create(small, queued=True)
    fill(store, first)
    template = {p.name: p.read_bytes() for p in store.path(first).iterdir()}
    for number in range(199):
        folder = store.home / f"calm-heron-{number:04x}"
        folder.mkdir()
        for name, data in template.items():
            (folder / name).write_bytes(data)
    return store


@pytest.mark.alone
def test_two_hundred_runs_are_listed_in_a_fifth_of_a_second(two_hundred):
    def seconds(store):
        # Seconds of this thread's own work: what else the machine does at the time is not the list's fault.
        began = time.thread_time()
        assert len(store.list()) == 200
        return time.thread_time() - began

    slower = slowness()
    # A fresh store knows nothing yet.
    fresh = min(seconds(RunStore(two_hundred.home)) for _ in range(3))
    known = min(seconds(two_hundred) for _ in range(3))
    # A machine's speed may change meanwhile.
    slower = max(slower, slowness())
    assert fresh < 0.2 * slower
    assert known < 0.05 * slower


def test_what_did_not_change_is_not_read_again(two_hundred, monkeypatch):
    two_hundred.list()
    read = []
    monkeypatch.setattr(listing, "read_tail", lambda *_: read.append(1) or [])
    monkeypatch.setattr(listing, "read_head", lambda *_, **__: read.append(1) or [])
    monkeypatch.setattr(listing, "read_json", lambda *_: read.append(1) or {})
    assert len(two_hundred.list()) == 200
    assert read == []
    assert two_hundred.unended() == []


def test_a_long_run_is_not_read_whole(store, small, monkeypatch):
    run = store.create(small)
    fill(store, run, steps=5000)
    read = []
    original = listing.read_tail

    def counting(path, *rest):
        found = original(path, *rest)
        read.append(len(found))
        return found

    monkeypatch.setattr(listing, "read_tail", counting)
    assert RunStore(store.home).list()[0]["step"] == 5000
    assert sum(read) < 200


def test_a_run_that_cannot_be_read_hides_no_other(store, small):
    good, bad = store.create(small, queued=True), store.create(small)
    events = store.events_path(bad)
    events.unlink()
    events.mkdir()
    assert {row["run"] for row in store.list()} == {good, bad}
    assert good in {row["run"] for row in store.unended()}
