"""The endpoints: what they take, refuse and answer, called as functions and through gradio_client."""

import hashlib
import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from irtuning.errors import ConfigError
from irtuning.events import Finished
from irtuning.runs.launch import LocalLauncher
from irtuning.runs.store import EventLog, RunStore
from irtuning.ui import api
from irtuning.ui.limits import MOST_OPEN

SECRET = "Dear diary, nobody may read this."


class Parrot:
    """A classifier that answers the same to everything, but breaks on what holds `boom`."""

    def __init__(self):
        self.asked = []

    def classify(self, before, after, adapter=""):
        self.asked.append((before, after, adapter))
        if "boom" in after:
            raise ValueError(f"cannot digest {before}")
        return {"label": "style", "probabilities": {"style": 0.9, "fluency": 0.1}, "adapter": adapter or "shipped",
                "abstained": False}


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def parrot():
    return Parrot()


@pytest.fixture
def open_host(store, parrot):
    return api.Endpoints(store, LocalLauncher(store), parrot, lambda: True)


@pytest.fixture
def strict_host(store, parrot):
    return api.Endpoints(store, LocalLauncher(store), parrot, lambda: False)


# -- starting -------------------------------------------------------------------------------------------------------


def test_start_run_queues_and_gives_a_token_of_which_only_the_hash_is_kept(open_host, store):
    first, second = open_host.start_run({"max_steps": 3}), open_host.start_run({})
    assert set(first) == {"run", "place", "owner"}
    assert (first["place"], second["place"]) == (0, 1)
    assert first["owner"] != second["owner"]
    private = json.loads((store.path(first["run"]) / "private.json").read_bytes())
    assert private["owner_hash"] == hashlib.sha256(first["owner"].encode()).hexdigest()
    assert store.run_config(first["run"]).max_steps == 3


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"speed": 3}, "no setting called 'speed'"),
        ({"x" * 5000: 3}, "no setting called"),
        ({"learning_rate": "nan"}, "Learning rate"),
        ({"learning_rate": float("nan")}, "Learning rate"),
        ({"max_steps": 0}, "Max steps"),
        ({"model_name": ["minilm"]}, "one value"),
        ({"dataset_name": {"a": 1}}, "one value"),
        ({"model_name": "m" * 501}, "no name"),
        ({"dataset_name": "a\0b"}, "no name"),
        ({"tuning_method": "magic"}, "Tuning method"),
        ([], "must be an object"),
        ("minilm", "must be an object"),
        ({3: 4}, "must be an object"),
    ],
)
def test_start_run_refuses(open_host, store, config, sentence):
    with pytest.raises(gr.Error) as caught:
        open_host.start_run(config)
    assert sentence in caught.value.message
    assert len(caught.value.message) < 700
    assert not caught.value.print_exception
    assert store.list() == []


def test_paths_are_taken_on_ones_own_machine_alone(open_host, strict_host, store, tmp_path):
    (tmp_path / "rows.csv").touch()
    config = {"dataset_name": str(tmp_path / "rows.csv")}
    run = open_host.start_run(config)["run"]
    assert store.config(run)["dataset_name"] == "rows.csv"
    with pytest.raises(gr.Error, match="corpora of the list"):
        strict_host.start_run(config)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model_name": "qwen3-0.6b"}, "models that come with it"),
        ({"model_name": "someone/some-model"}, "models that come with it"),
        ({"model_name": "/etc"}, "models that come with it"),
        ({"dataset_name": "../secrets"}, "corpora of the list"),
        ({"dataset_name": "someone/some-corpus"}, "corpora of the list"),
        ({"max_steps": 301}, "300 at most"),
        ({"max_length": 257}, "256 at most"),
        ({"batch_size": 33}, "32 at most"),
        ({"per_device_train_batch_size": 16, "gradient_accumulation_steps": 3}, "32 at most"),
        ({"lora_r": 65}, "64 at most"),
        ({"adapter_name": "bottleneck", "bottleneck_width": 257}, "256 at most"),
        ({"tokens_per_micro_batch": 4097}, "4096 at most"),
        ({"report_to": "wandb"}, "reports to nobody"),
    ],
)
def test_a_public_host_refuses(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        api.checked_request(values, paths_allowed=False)
    assert api.checked_request(values, paths_allowed=True)


def test_a_long_instruction_is_taken_and_an_endless_text_is_not():
    long = "{before} {after} " + "x" * 3000
    assert api.checked_request({"instruction": long}, paths_allowed=True).instruction == long
    for values, says in (({"layers": "1," * 4000 + "1"}, "Layers: a text of at most 4,000"), ({"model_name": "m" * 501}, "is no name")):
        with pytest.raises(ConfigError, match=says):
            api.checked_request(values, paths_allowed=True)


def refused(host) -> bool:
    try:
        host.start_run({})
    except gr.Error:
        return True
    return False


def test_many_requests_at_once_fill_a_public_hosts_queue_and_no_more(strict_host, store):
    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda _: refused(strict_host), range(24)))
    assert found.count(False) == len(store.list()) == MOST_OPEN


def test_a_public_hosts_queue_can_be_full(strict_host, open_host, store):
    for _ in range(MOST_OPEN):
        strict_host.start_run({})
    with pytest.raises(gr.Error, match="12 runs wait or train here already"):
        strict_host.start_run({})
    assert len(store.list()) == MOST_OPEN
    assert open_host.start_run({})["place"] == MOST_OPEN


# -- following and stopping -----------------------------------------------------------------------------------------


def test_events_are_followed_from_offset_to_offset(open_host, store):
    run = open_host.start_run({})["run"]
    first = open_host.run_events(run)
    assert [event["kind"] for event in first["events"]] == ["phase"]
    assert first["state"] == "queued"
    EventLog(store.path(run)).append(Finished())
    second = open_host.run_events(run, first["offset"])
    assert [event["kind"] for event in second["events"]] == ["finished"]
    assert second["state"] == "finished"
    assert open_host.run_events(run, second["offset"]) == {**second, "events": []}


def test_stop_run_cancels_a_waiting_one(open_host):
    run = open_host.start_run({})["run"]
    assert open_host.stop_run(run) == {"run": run, "state": "stopped"}
    assert open_host.stop_run(run, "any token") == {"run": run, "state": "stopped"}


@pytest.mark.parametrize("wrong", ["../outside", "", "no-such-run", None, 5, ["x"], "a" * 100_000])
def test_wrong_ids_are_one_sentence(open_host, store, tmp_path, wrong):
    run = open_host.start_run({})["run"]
    shutil.copytree(store.path(run), tmp_path / "outside")
    for ask in (open_host.stop_run, open_host.run_events):
        with pytest.raises(gr.Error, match="There is no run called") as caught:
            ask(wrong)
        assert len(caught.value.message) < 200


def test_a_wrong_offset_is_one_sentence(open_host):
    run = open_host.start_run({})["run"]
    with pytest.raises(gr.Error, match="offset"):
        open_host.run_events(run, -5)


def test_list_runs_has_what_scripts_rely_on(open_host):
    run = open_host.start_run({})["run"]
    (row,) = open_host.list_runs()["runs"]
    assert {"run", "name", "state", "model", "corpus", "method", "started", "metrics", "recorded"} <= set(row)
    assert (row["run"], row["state"], row["metrics"], row["recorded"]) == (run, "queued", None, False)


# -- classifying ----------------------------------------------------------------------------------------------------


def test_classify_hands_the_pair_on(open_host, parrot):
    answer = open_host.classify("a cat", "the cat", "brisk-otter-3f2a")
    assert answer["label"] == "style"
    assert parrot.asked == [("a cat", "the cat", "brisk-otter-3f2a")]
    assert open_host.classify("", "new", "")["adapter"] == "shipped"


@pytest.mark.parametrize(
    ("before", "after", "adapter", "sentence"),
    [
        ("", "  ", "", "Nothing was revised"),
        ("same words", "same  words", "", "Nothing was revised"),
        ("x" * 20_001, "y", "", "20,000"),
        (None, "y", "", "must be texts"),
        ("x", 5, "", "must be texts"),
        ("x", "y", None, "must be a text"),
        ("x", "y", "a" * 501, "no name"),
    ],
)
def test_classify_refuses(open_host, parrot, before, after, adapter, sentence):
    with pytest.raises(gr.Error) as caught:
        open_host.classify(before, after, adapter)
    assert sentence in caught.value.message
    assert parrot.asked == []


def test_adapters_are_named_on_a_public_host(strict_host, parrot):
    for path in ("/tmp/adapter", "../adapter", "~/adapter", "runs\\x"):
        with pytest.raises(gr.Error, match="by its name"):
            strict_host.classify("x", "y", path)
    assert parrot.asked == []
    assert strict_host.classify("x", "y", "minilm-starter")["label"] == "style"


def test_what_breaks_inside_is_a_plain_sentence_and_no_text_reaches_the_log(open_host, caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(gr.Error, match="Something went wrong") as caught:
        open_host.classify(SECRET, "boom")
    assert "diary" not in caught.value.message
    assert "ValueError" in caplog.text
    assert "test_api.py" in caplog.text
    assert "diary" not in caplog.text


# -- through gradio_client --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    store = RunStore(tmp_path_factory.mktemp("served") / "runs")
    with gr.Blocks(analytics_enabled=False) as demo:
        api.attach(store, LocalLauncher(store), Parrot(), lambda: True)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
    yield Client(url, verbose=False, analytics_enabled=False), store
    demo.close()


def test_a_script_starts_follows_and_stops_a_run(served):
    client, _ = served
    given = client.predict({"max_steps": 2}, api_name="/start_run")
    assert given["place"] == 0
    run = given["run"]
    assert client.predict(run, api_name="/run_events")["events"][0]["name"] == "waiting"
    assert [row["run"] for row in client.predict(api_name="/list_runs")["runs"]] == [run]
    assert client.predict(run_id=run, owner=given["owner"], api_name="/stop_run")["state"] == "stopped"
    assert client.predict(run, 0, api_name="/run_events")["state"] == "stopped"


def test_a_script_classifies(served):
    client, _ = served
    answer = client.predict("a cat", "the cat", api_name="/classify")
    assert (answer["label"], answer["probabilities"]) == ("style", {"style": 0.9, "fluency": 0.1})


def test_a_script_gets_the_sentence(served):
    client, _ = served
    with pytest.raises(AppError, match=r"There is no run called '\.\./x'"):
        client.predict("../x", api_name="/run_events")
    with pytest.raises(AppError, match="Something went wrong here"):
        client.predict(SECRET, "boom", api_name="/classify")


def test_every_endpoint_is_documented(served):
    client, _ = served
    described = client.view_api(return_format="dict")["named_endpoints"]
    assert set(described) == {"/classify", "/start_run", "/stop_run", "/run_events", "/list_runs"}
    for name, endpoint in described.items():
        assert endpoint["description"], name
        for parameter in endpoint["parameters"]:
            assert parameter["parameter_name"], name
