"""The store: folders that appear whole, ids that cannot lead elsewhere, stopping, deleting, ZIPs."""

import hashlib
import json
import os
import shutil
import threading
import time
import zipfile
from functools import partialmethod
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irtuning.config import RunConfig
from irtuning.errors import ConfigError, RunError, StudioError
from irtuning.events import Finished, Phase
from irtuning.runs.store import EventLog, RunStore


@pytest.fixture
def queued(store, small):
    return store.create(small, queued=True)


# -- making -----------------------------------------------------------------------------------------------------------


def test_the_home_comes_from_the_environment_and_is_made_on_first_need(tmp_path, monkeypatch, small):
    monkeypatch.setenv("IRTUNING_HOME", str(tmp_path / "deep" / "home"))
    store = RunStore.default()
    assert store.list() == []
    assert not (tmp_path / "deep").exists()
    store.create(small)
    assert (tmp_path / "deep" / "home").is_dir()
    monkeypatch.delenv("IRTUNING_HOME")
    monkeypatch.chdir(tmp_path)
    assert RunStore.default().home == tmp_path / "runs"


def test_a_run_is_a_folder_with_settings_and_a_first_event(store, queued):
    folder = store.path(queued)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "events.jsonl", "private.json"]
    config = json.loads((folder / "config.json").read_bytes())
    assert config["run"] == queued
    assert queued.startswith(config["name"])
    _, events = store.read_events(queued)
    assert [(e["kind"], e["name"]) for e in events] == [("phase", "waiting")]
    assert events[0]["started"].endswith("+00:00")
    assert [p for p in store.home.iterdir() if p.name.startswith(".new")] == []


def test_private_things_are_for_the_owner_alone(store, small):
    run = store.create(small, owner="secret", queued=True)
    private = store.path(run) / "private.json"
    assert private.stat().st_mode & 0o777 == 0o600
    assert json.loads(private.read_bytes())["owner_hash"] == hashlib.sha256(b"secret").hexdigest()
    for path in store.path(run).iterdir():
        assert b"secret" not in path.read_bytes()


def test_the_worker_gets_the_real_paths_back(store, tmp_path):
    (tmp_path / "rows.csv").touch()
    run = store.create(RunConfig(dataset_name=str(tmp_path / "rows.csv")), queued=True)
    assert store.config(run)["dataset_name"] == "rows.csv"
    config = store.run_config(run)
    assert config.dataset_name == str(tmp_path / "rows.csv")
    assert config.model_name == "minilm"
    shareable = [p for p in store.path(run).iterdir() if p.name != "private.json"]
    assert not any(str(tmp_path).encode() in p.read_bytes() for p in shareable)


def test_a_preset_is_applied_and_noted(store):
    run = store.create(RunConfig(max_steps=7), preset="real-llm", queued=True)
    assert store.config(run)["preset"] == "real-llm"
    assert store.run_config(run).model_name == "smollm2-135m"
    assert store.config(run)["given"] == ["max_steps"]
    with pytest.raises(ConfigError, match="no preset"):
        store.create(RunConfig(), preset="nothing")


def test_a_default_that_nothing_reads_any_more_does_not_close_an_older_run(store):
    run = store.create(RunConfig(model_name="llama3.1-8b"), queued=True)
    store.update_config(run, encoding="marked")
    assert store.run_config(run).use_instruction is True
    assert store.run_config(run).encoding is None


def test_update_config_keeps_the_rest(store, queued):
    store.update_config(queued, weights="package x", corpus={"name": "starter"})
    config = store.config(queued)
    assert (config["weights"], config["corpus"], config["run"]) == ("package x", {"name": "starter"}, queued)
    assert store.run_config(queued).max_steps == 5


def test_readers_never_see_half_a_config(store, queued):
    broken = []
    done = threading.Event()

    def read():
        while not done.is_set():
            if store.config(queued).get("run") != queued:
                broken.append(1)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(150):
        store.update_config(queued, weights="x" * number * 20)
    done.set()
    reader.join()
    assert broken == []


@pytest.mark.parametrize(
    ("text", "says"),
    [('{"model_name": "minilm", "learning_rate": "fast"}', "cannot be used"), ("{", "cannot be read"), ("{}", "cannot be read")],
)
def test_a_damaged_config_is_said_in_a_sentence(store, queued, text, says):
    (store.path(queued) / "config.json").write_text(text)
    with pytest.raises(RunError, match=says):
        store.run_config(queued)
    assert store.list()[0]["model"] == ("minilm" if "minilm" in text else None)


def test_a_home_that_cannot_be_written(tmp_path, small):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        RunStore(tmp_path / "file").create(small)


# -- ids ------------------------------------------------------------------------------------------------------------

WRONG = ("../runs", "/etc", "..", ".", "", "a\0b", ".lock", "no-such-run", None, 7, "x" * 300)
METHODS = ("path", "config", "run_config", "metrics", "events_path", "read_events", "state", "summary", "place",
           "request_stop", "delete", "is_recorded", "update_config", "all_events", "ablation", "finished_adapter")


@pytest.fixture
def outside(store, queued, tmp_path):
    """A run that lies beside the store, where a path would lead."""
    return shutil.copytree(store.path(queued), tmp_path / "outside")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_refuses_a_wrong_id(store, outside, method):
    inside = store.list()[0]["run"]
    for wrong in (*WRONG, f"../{outside.name}", str(outside), f"./{inside}", f"{inside}/", f"../{store.home.name}/{inside}"):
        with pytest.raises(RunError, match="There is no run called") as caught:
            getattr(store, method)(wrong)
        assert len(str(caught.value)) < 200
    assert (outside / "config.json").is_file()


def test_zip_refuses_a_wrong_id(store, outside, tmp_path):
    with pytest.raises(RunError, match="There is no run called"):
        store.zip_adapter(f"../{outside.name}", tmp_path / "x.zip")


@given(st.one_of(st.text(), st.lists(st.sampled_from(["..", ".", "/", "outside", "runs", "a-run"])).map("".join)))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_leads_out_of_the_store(store, outside, text):
    try:
        path = store.path(text)
    except RunError:
        return
    assert path.resolve().parent == store.home.resolve()


def test_a_link_out_of_the_store_is_no_run(store, queued, tmp_path):
    outside = tmp_path / "outside"
    store.path(queued).rename(outside)
    (store.home / "sly-fox").symlink_to(outside, target_is_directory=True)
    with pytest.raises(RunError):
        store.path("sly-fox")
    assert store.list() == []


def test_a_store_behind_a_link_works(tmp_path, small):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = RunStore(tmp_path / "link")
    run = store.create(small, queued=True)
    assert store.state(run) == "queued"
    assert [row["run"] for row in store.list()] == [run]


# -- following ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [-1, 1.5, "0", None, True, 1 << 60])
def test_a_wrong_offset_is_refused(store, queued, offset):
    with pytest.raises(RunError, match="offset"):
        store.read_events(queued, offset)


def test_one_call_gives_a_mebibyte_at_most(store, queued):
    path = store.events_path(queued)
    line = json.dumps({"kind": "notice", "text": "x" * 1000, "time": 1.0}) + "\n"
    with path.open("a") as stream:
        stream.write(line * 3000)
    offset, events = store.read_events(queued)
    assert offset <= 1 << 20
    assert 900 < len(events) < 1100


# -- stopping and deleting ------------------------------------------------------------------------------------------


def test_a_waiting_run_is_cancelled_at_once(store, queued):
    assert store.request_stop(queued) == "stopped"
    _, events = store.read_events(queued)
    assert [e["kind"] for e in events] == ["phase", "stopped"]
    assert store.request_stop(queued) == "stopped"
    assert len(store.read_events(queued)[1]) == 2


def test_a_training_run_finds_the_request(store, small):
    run = store.create(small)
    assert store.request_stop(run) == "running"
    assert (store.path(run) / "stop").is_file()
    assert store.summary(run)["stopping"]


def test_what_waits_or_trains_cannot_be_deleted(store, queued, small):
    for run in (queued, store.create(small)):
        with pytest.raises(RunError, match="Stop it first"):
            store.delete(run)
        assert store.path(run).is_dir()


def test_delete_leaves_nothing(store, queued):
    (store.path(queued) / "adapter").mkdir()
    store.request_stop(queued)
    store.delete(queued)
    assert store.list() == []
    assert [p.name for p in store.home.iterdir() if not p.name.startswith(".dispatch")] == []
    with pytest.raises(RunError):
        store.delete(queued)


def test_leftovers_of_a_crash_are_swept_once_they_are_old(store, queued):
    for name, age in ((".new-old", 7200), (".trash-old", 7200), (".new-fresh", 0)):
        (store.home / name).mkdir()
        os.utime(store.home / name, (time.time() - age,) * 2)
    store.sweep()
    left = {p.name for p in store.home.iterdir()}
    assert left == {queued, ".new-fresh"}


# -- recorded -------------------------------------------------------------------------------------------------------


@pytest.fixture
def both(tmp_path, small):
    makes = RunStore(tmp_path / "recorded")
    run = makes.create(small, queued=True)
    EventLog(makes.path(run)).append(Finished())
    cut = makes.create(small, queued=True)
    for name in (run, cut):
        (makes.path(name) / "private.json").unlink()
    return RunStore(tmp_path / "runs", recorded=tmp_path / "recorded"), run, cut


def test_recorded_runs_are_listed_last_and_cannot_be_changed(both, small):
    store, recorded, cut = both
    own = store.create(small, queued=True)
    rows = {row["run"]: row for row in store.list()}
    assert next(iter(rows)) == own
    assert [rows[run]["recorded"] for run in (own, recorded, cut)] == [False, True, True]
    assert [rows[run]["state"] for run in (recorded, cut)] == ["finished", "stopped"]
    assert store.run_config(recorded).model_name == "minilm"
    assert store.read_events(recorded)[1]
    for change in (store.delete, store.request_stop, store.update_config):
        with pytest.raises(RunError, match="recorded"):
            change(recorded)
    assert store.path(recorded).is_dir()
    assert [row["run"] for row in store.unended()] == [own]


# -- ablation -------------------------------------------------------------------------------------------------------


def test_all_events_are_read_however_many_calls_it_takes(store, queued, monkeypatch):
    log = EventLog(store.path(queued))
    for number in range(200):
        log.append(Phase(name="loading", text=str(number)))
    monkeypatch.setattr(RunStore, "read_events", partialmethod(RunStore.read_events, limit_bytes=1000))
    assert len(store.read_events(queued)[1]) < 20
    assert [event.get("text") for event in store.all_events(queued)] == ["", *map(str, range(200))]


def test_an_ablation_is_kept_in_one_move(store, queued, both):
    assert store.ablation(queued) is None
    store.keep_ablation(queued, {"loss": 1.0})
    store.keep_ablation(queued, {"loss": 2.0})
    assert store.ablation(queued) == {"loss": 2.0}
    assert not list(store.path(queued).glob(".*"))
    store.path(queued).joinpath("ablation.json").unlink()
    store.path(queued).joinpath("ablation.json").mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        store.keep_ablation(queued, {"loss": 1.0})
    store, recorded, _ = both
    with pytest.raises(RunError, match="recorded"):
        store.keep_ablation(recorded, {})
    assert not (store.path(recorded) / "ablation.json").exists()


def test_an_adapter_is_given_once_its_run_has_ended(store, queued):
    (store.path(queued) / "adapter").mkdir()
    (store.path(queued) / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    with pytest.raises(RunError, match="is queued"):
        store.finished_adapter(queued)
    EventLog(store.path(queued)).append(Finished())
    assert store.finished_adapter(queued) == store.path(queued) / "adapter"
    (store.path(queued) / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(RunError, match="no adapter"):
        store.finished_adapter(queued)


# -- adapters -------------------------------------------------------------------------------------------------------


def test_an_adapter_as_zip(store, queued, tmp_path):
    folder = store.path(queued) / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("card")
    (folder / "secret").symlink_to("/etc/hostname")
    made = store.zip_adapter(queued, tmp_path)
    assert made == tmp_path / f"{queued}-adapter.zip"
    with zipfile.ZipFile(made) as archive:
        assert sorted(archive.namelist()) == [f"{queued}/README.md", f"{queued}/adapter_model.safetensors"]
        assert archive.read(f"{queued}/adapter_model.safetensors") == b"weights"


def test_no_adapter_no_zip(store, queued, tmp_path):
    with pytest.raises(StudioError, match="no adapter"):
        store.zip_adapter(queued, tmp_path)
    assert not list(Path(tmp_path).glob("*.zip"))
