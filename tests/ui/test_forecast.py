import json

import pytest

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.insight.estimate import Estimate
from irtuning.insight.machine import Machine
from irtuning.runs.store import RunStore
from irtuning.ui.forecast import forecast, history, preset_spans, sentence
from tests.simulated import simulate, write_run

CPU = Machine("cpu", "2 CPU cores", "bfloat16", 2, 8.0, None)


def minilm(**values):
    return RunConfig(model_name="minilm", dataset_name="starter", **values)


def test_the_sentence_says_when_it_is_a_guess():
    assert sentence(Estimate(41.0, 0.6, False)) == "About 40 s and 0.6 GB on this machine."
    assert "A guess" in sentence(Estimate(41.0, 0.6, True))
    assert "once the corpus is loaded" in sentence(Estimate(None, 1.9, True))
    assert "once this model has run here" in sentence(Estimate(None, None, True))


def test_former_runs_of_the_model_on_this_store_are_what_counts(tmp_path):
    home, recorded = tmp_path / "runs", tmp_path / "recorded"
    store = RunStore(home, recorded=recorded)
    asked = minilm(max_steps=100).resolve()
    write_run(recorded, "old-otter-0001", simulate(layers=6, seconds=9.0), config={"model_name": "minilm"})
    assert history(store, asked) is None
    write_run(home, "other-otter-0002", simulate(layers=6, seconds=9.0), config={"model_name": "smollm2-135m"})
    assert history(store, asked) is None
    write_run(home, "same-otter-0003", simulate(layers=6, seconds=2.0), config={"model_name": "minilm"})
    assert history(store, asked).seconds_per_1000 == 2.5
    write_run(home, "full-otter-0004", simulate(layers=6, seconds=4.0), config={"model_name": "minilm", "tuning_method": "full"})
    assert history(store, asked).seconds_per_1000 == 2.5
    assert history(store, asked.model_copy(update={"tuning_method": "full"})).seconds_per_1000 == 5.0
    kind, words = forecast(store, minilm(max_steps=100), CPU)
    assert kind == "plain"
    assert "guess" not in words


def test_presets_take_what_former_runs_of_their_model_took(tmp_path):
    store = RunStore(tmp_path / "runs")
    guessed = preset_spans(store, CPU)
    assert set(guessed) == {"thirty-seconds", "real-llm"}, "the paper's corpus must be fetched before its length is known"
    write_run(store.home, "slow-otter-0001", simulate(layers=6, seconds=9.0), config={"model_name": "minilm"})
    told = preset_spans(store, CPU)
    assert told["thirty-seconds"].startswith("about ")
    assert told["thirty-seconds"].endswith(" min")
    assert told["thirty-seconds"] != guessed["thirty-seconds"]
    assert told["real-llm"] == guessed["real-llm"]


def test_a_run_in_4_bit_tells_nothing_of_one_in_full(tmp_path):
    store = RunStore(tmp_path / "runs")
    asked = minilm(max_steps=100).resolve()
    write_run(store.home, "four-otter-0001", simulate(layers=6, seconds=9.0), config={"model_name": "minilm", "load_4bit": True})
    assert history(store, asked) is None
    assert history(store, asked.model_copy(update={"load_4bit": True})).seconds_per_1000 > 0
    write_run(store.home, "full-otter-0002", simulate(layers=6, seconds=2.0), config={"model_name": "minilm"})
    assert history(store, asked).seconds_per_1000 == 2.5


def test_what_is_wrong_with_the_corpus_is_the_sentence(tmp_path):
    kind, words = forecast(RunStore(tmp_path), RunConfig(model_name="minilm", dataset_name="no-such"), CPU)
    assert kind == "warning"
    assert "no-such" in words


def test_a_run_that_does_not_fit_is_a_warning(tmp_path):
    kind, words = forecast(RunStore(tmp_path), RunConfig(model_name="llama3.1-8b", dataset_name="starter"), CPU)
    assert kind == "warning"
    assert "choose a smaller model" in words


def test_what_steady_costs_is_said_of_deep_models_alone(tmp_path):
    store = RunStore(tmp_path / "runs")

    def words(model, **values):
        return forecast(store, RunConfig(model_name=model, dataset_name="starter", **values), CPU)[1]

    costs = " On deep models the steady setting can cost a point or two of F1."
    assert words("smollm2-135m", **catalogue.STEADY).endswith(costs)
    assert words("some/model", **catalogue.STEADY).endswith(costs)
    assert costs not in words("minilm", **catalogue.STEADY)
    assert costs not in words("smollm2-135m")
    assert costs not in words("smollm2-135m", budget=0.67)


def test_a_torn_former_run_is_passed_over(tmp_path):
    store = RunStore(tmp_path / "runs")
    folder = write_run(store.home, "torn-otter-0001", simulate(layers=6), config={"model_name": "minilm"})
    (folder / "events.jsonl").write_text(json.dumps({"kind": "finished", "time": 1.0}) + "\n")
    assert history(store, minilm().resolve()) is None


@pytest.mark.parametrize("name", ["~nobody-at-all/x", "x" * 300, "a\0b"])
def test_a_corpus_that_cannot_be_a_name_is_a_sentence(tmp_path, name):
    kind, words = forecast(RunStore(tmp_path), RunConfig(model_name="minilm", dataset_name=name), CPU)
    assert kind == "warning"
    assert "There is no" in words


def test_a_local_model_is_known_once_it_has_run(tmp_path):
    store = RunStore(tmp_path / "runs")
    mine, other = tmp_path / "mine", tmp_path / "elsewhere" / "mine"
    mine.mkdir()
    other.mkdir(parents=True)

    def told(folder):
        return forecast(store, RunConfig(model_name=str(folder), dataset_name="starter", max_steps=100), CPU)[1]

    unknown = "once this model has run here"
    assert unknown in told(mine)
    run = write_run(store.home, "mine-otter-0001", simulate(layers=6), config={"model_name": "mine"})
    (run / "private.json").write_text(json.dumps({"model_path": str(mine)}))
    assert unknown not in told(mine)
    assert unknown in told(other)


def test_a_run_on_the_gpu_tells_nothing_of_one_on_the_cpu(tmp_path):
    store = RunStore(tmp_path / "runs")
    write_run(store.home, "fast-otter-0001", simulate(layers=6), config={"model_name": "minilm"})
    assert history(store, minilm(max_steps=100, device="cpu").resolve()) is None
