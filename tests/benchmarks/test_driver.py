"""The driver: what is finished is not run again, what is torn is; the table by hand; the arms on a tiny model."""

from __future__ import annotations

import json
import sys
from pkgutil import resolve_name

import pytest
from transformers import DataCollatorWithPadding

from irtuning.config import RunConfig, parse_config
from irtuning.revisions.corpora import load_corpus
from irtuning.tuning.adapters import trainable_state
from irtuning.tuning.arguments import arguments
from irtuning.tuning.batches import Rows
from irtuning.tuning.callback import LayerwiseCallback
from irtuning.tuning.methods import make_policy
from irtuning.tuning.preparing import prepare
from irtuning.tuning.trainer import StepTrainer
from tests.benchmarks import driver
from tests.benchmarks.arms import _steps, _trainer, run
from tests.benchmarks.studies import STUDIES
from tests.benchmarks.tables import figures, paired, table
from tests.benchmarks.vanilla import prepare_plain
from tests.tuning.test_trainer import ANYWHERE


def job(seed: int, corpus: str = "/here/corpus") -> dict:
    return {"name": "a", "arm": "ours", "limit": 0, "config": {"seed": seed, "dataset_name": corpus}}


def test_a_study_goes_on_where_it_stopped(tmp_path):
    path, ran = tmp_path / "results.jsonl", []

    def start(asked):
        ran.append(asked["config"]["seed"])
        if asked["config"]["seed"] == 3:
            raise KeyboardInterrupt
        return {"seconds": 1.0}

    with pytest.raises(KeyboardInterrupt):
        driver.run_missing([job(1), job(2), job(3)], path, start)
    with path.open("a") as torn:
        torn.write('\n{"key": "half')
    assert list(driver.read(path)) == [driver.key_of(job(1)), driver.key_of(job(2))]
    found = driver.run_missing([job(1), job(2), job(4)], path, start)
    assert ran == [1, 2, 3, 4]
    assert len(found) == 3


def test_where_the_corpus_lies_neither_counts_nor_is_kept(tmp_path):
    assert driver.key_of(job(1, "/a/c")) == driver.key_of(job(1, "/b/c")) != driver.key_of(job(2))
    driver.run_missing([job(1)], tmp_path / "r.jsonl", lambda asked: {})
    assert "/here" not in (tmp_path / "r.jsonl").read_text()


def test_pairs_and_their_interval_by_hand():
    mean, half = paired([1.0, 2.0, 4.0], [0.0, 2.0, 1.0])
    # Differences 1, 0, 3: mean 4/3, deviation sqrt(7/3); t of two degrees of freedom is 2.9199856.
    assert mean == pytest.approx(4 / 3)
    assert half == pytest.approx(2.9199856 * (7 / 3) ** 0.5 / 3**0.5)


def test_a_table_has_a_line_a_method_with_ratios_to_the_first():
    def row(name, seed, f1, seconds):
        metrics = {"macro_f1": f1, "weighted_f1": f1, "au_prc": 0.25}
        result = {
            "test": metrics, "seconds": seconds, "seconds_with_evaluation": seconds + 1, "epochs": 2.0, "peak_memory_mib": 100.0,
            "tokens_per_second": 640.0,
        }  # fmt: skip
        return {"job": {"name": name, "config": {"seed": seed}}, "result": result}

    rows = [row("all", 1, 0.5, 10), row("all", 2, 0.5, 10), row("few", 1, 0.52, 5), row("few", 2, 0.54, 5)]
    lines = table(figures(rows)).splitlines()
    assert lines[2].split()[:3] == ["few", "2", "53.0"]
    assert "+3.00" in lines[2]
    assert lines[2].split()[-11:] == ["25.0", "+0.00", "±", "0.00", "2.5", "0.50", "3.0", "0.55", "640.0", "100.0", "1.00"]
    cut = row("cut", 1, 0.9, 5)
    cut["job"]["limit"] = 20
    cut["job"]["arm"] = "ours"
    # What is scored in a run cut short is another share of it.
    assert table(figures([row("all", 1, 0.5, 10), cut])).splitlines()[2].split() == ["cut", "1", "2.5", "0.50", "640.0", "100.0", "1.00"]
    assert table(figures([])) == "no results yet"
    assert json.loads(json.dumps(figures(rows)))[1]["ratio"]["seconds"] == 0.5


def test_differences_and_ratios_are_of_the_seeds_that_both_have():
    def row(name, seed, f1, seconds):
        metrics = {"macro_f1": f1, "weighted_f1": f1, "au_prc": 0.25}
        result = {"test": metrics, "seconds": seconds, "seconds_with_evaluation": seconds, "epochs": 1.0, "peak_memory_mib": 100.0}
        return {"job": {"name": name, "config": {"seed": seed}}, "result": result}

    _, few, other = figures([row("all", 1, 0.5, 10), row("all", 2, 0.9, 30), row("few", 1, 0.52, 5), row("other", 3, 0.5, 5)])
    assert few["ratio"]["seconds"] == 0.5
    assert few["difference"]["macro_f1"] == (pytest.approx(2.0), None)
    assert other["ratio"] is None
    assert other["difference"] is None


def test_of_runs_that_took_turns_the_seconds_are_told_and_of_others_the_scores_alone():
    def row(name, seed, f1, seconds, in_turns):
        metrics = {"macro_f1": f1, "weighted_f1": f1, "au_prc": 0.25}
        result = {"test": metrics, "seconds": seconds, "seconds_with_evaluation": seconds, "epochs": 1.0, "peak_memory_mib": seconds}
        return {"job": {"name": name, "in_turns": in_turns, "config": {"seed": seed}}, "result": result}

    rows = [row("all", 1, 0.5, 10, True), row("all", 2, 0.7, 90, False), row("few", 1, 0.5, 5, True), row("few", 2, 0.9, 10, False)]
    every, few = figures(rows)
    assert (every["seconds"], every["peak_memory_mib"], every["macro_f1"]) == (10, 50, 60)
    assert few["ratio"] == {"seconds": 0.5, "seconds_with_evaluation": 0.5, "peak_memory_mib": 0.15}
    assert few["difference"]["macro_f1"][0] == pytest.approx(10)


def test_of_runs_in_turns_what_the_others_gave_is_kept_where_one_breaks(tmp_path, monkeypatch):
    def command(asked):
        ends = "raise ValueError('oh')" if asked["name"] == "broken" else "print('{\"seconds\": 1.0}')"
        return [sys.executable, "-c", ends]

    monkeypatch.setattr(driver, "_command", command)
    jobs = [{**job(1), "name": name} for name in ("broken", "whole", "other")] + [{**job(2), "name": "broken"}]
    with pytest.raises(SystemExit, match=r"broken broke:\n(.|\n)*oh"):
        driver.run_in_turns(jobs, tmp_path / "r.jsonl", 0.2)
    assert [row["job"]["name"] for row in driver.read(tmp_path / "r.jsonl").values()] == ["whole", "other"]
    found = driver.run_in_turns(jobs[1:3], tmp_path / "r.jsonl", 0.2)
    assert [row["result"] for row in found.values()] == [{"seconds": 1.0}] * 2


def test_of_runs_in_turns_each_is_noted_when_it_ends_not_when_all_have(tmp_path, monkeypatch):
    code = "import sys, time\nif sys.argv[1] == 'long': time.sleep(60)\nprint('{}')"
    monkeypatch.setattr(driver, "_command", lambda job: [sys.executable, "-c", code, job["name"]])
    jobs = [{**job(1), "name": name} for name in ("long", "short")]
    turns = driver.take_turns

    def until_the_first_has_ended(*args):
        yield next(ended := turns(*args))
        ended.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "take_turns", until_the_first_has_ended)
    with pytest.raises(KeyboardInterrupt):
        driver.run_in_turns(jobs, tmp_path / "r.jsonl", 0.2)
    assert [row["job"]["name"] for row in driver.read(tmp_path / "r.jsonl").values()] == ["short"]


def test_a_run_is_the_same_whether_or_not_it_takes_turns():
    assert driver.key_of({**job(1), "in_turns": True}) == driver.key_of(job(1)) != driver.key_of({**job(1), "threads": 1})


def test_what_is_wanted_of_every_run_goes_into_each():
    assert driver.as_asked([job(1)]) == [job(1)]
    (found,) = driver.as_asked([job(1)], 2, values={"dtype": "float32", "num_train_epochs": None})
    assert found == {**job(1), "threads": 2, "config": {**job(1)["config"], "dtype": "float32"}}
    (found,) = driver.as_asked([job(1)], turns=5.0, values={"num_train_epochs": 6.0})
    assert found == {**job(1), "threads": 1, "in_turns": True, "config": {**job(1)["config"], "num_train_epochs": 6.0}}


def test_runs_that_differ_in_their_names_alone_are_made_once():
    one, two = {**job(1), "name": "plain, same numbers"}, {**job(1), "name": "plain, float32"}
    assert driver._each_once([one, two, job(2)]) == [two, job(2)]


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["ours", "plain", "reference"])
def test_each_way_trains_a_tiny_model_and_tells_its_cost(arm, model_dirs, corpus_dir):
    config = {"model_name": str(model_dirs("bert")), "dataset_name": str(corpus_dir), "batch_size": 8, "num_train_epochs": 2.0,
              "max_length": 64, "tuning_method": "full", "lora_r": 2}  # fmt: skip
    found = run({"arm": arm, "config": config, "limit": 6})
    assert json.loads(json.dumps(found)) == found
    assert found["seconds"] > 0
    assert 0 <= found["test"]["macro_f1"] <= 1
    assert found["epochs"] == 2.0
    assert found["tokens_per_second"] > 0


def test_all_ways_see_the_same_rows_in_the_same_batches(model_dirs, corpus_dir, monkeypatch):
    seen = []
    for collator in ("irtuning.tuning.trainer.collate", "tests.benchmarks.arms._Counting.__call__"):
        module, _, name = collator.rpartition(".")
        original = getattr(resolve_name(module.replace(".arms.", ".arms:")), name)

        def noting(*args, original=original, **kwargs):
            rows = next(value for value in args if isinstance(value, list))
            seen.append({tuple(row["input_ids"]) for row in rows})
            return original(*args, **kwargs)

        monkeypatch.setattr(collator, noting)
    config = {"model_name": str(model_dirs("bert")), "dataset_name": str(corpus_dir), "batch_size": 8, "num_train_epochs": 2.0,
              "max_length": 64, "tuning_method": "full", "lora_r": 2}  # fmt: skip
    found = {}
    for arm in ("ours", "plain", "reference"):
        seen.clear()
        run({"arm": arm, "config": config, "limit": 0})
        found[arm] = list(seen)
    assert len(found["ours"]) > 4
    assert found["ours"] == found["plain"] == found["reference"]


@pytest.mark.slow
@pytest.mark.parametrize("clip", [1.0, 0.05])
def test_a_training_of_ours_is_plain_trainers(model_dirs, corpus_dir, clip):
    config = parse_config({
        "model_name": str(model_dirs("llama")), "dataset_name": str(corpus_dir), "dtype": "float32", "tuning_method": "full",
        "batch_size": 8, "num_train_epochs": 2.0, "learning_rate": 1e-3, "lora_dropout": 0.0, "max_grad_norm": clip,
    }).resolve()  # fmt: skip
    corpus = load_corpus(str(corpus_dir))
    mine, theirs = prepare(config, corpus, lambda event: None, lambda: None), prepare_plain(config, corpus)
    before = trainable_state(theirs.model)
    StepTrainer(
        model=mine.model, args=arguments(config, mine.device, _steps(mine, config)), rows=Rows(mine.rows["train"]),
        pad_token_id=mine.tokenizer.pad_token_id, most_tokens=60, passes=ANYWHERE, check=lambda: None,
        callbacks=[LayerwiseCallback(lambda stack: make_policy(config, stack))],
    ).train()  # fmt: skip
    rival = _trainer(theirs, config, 0, DataCollatorWithPadding(theirs.tokenizer))
    rival.args.max_grad_norm = clip
    rival.train()
    assert rival.state.global_step > 8
    for name, value in trainable_state(theirs.model).items():
        moved = (value - before[name]).norm()
        assert (trainable_state(mine.model)[name] - value).norm() <= 0.01 * moved


def test_studies_name_every_job_once():
    for study in STUDIES.values():
        jobs = study("minilm", "corpus", [1, 2])
        assert len({driver.key_of(j) for j in jobs}) == len(jobs)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_the_plain_model_has_nothing_of_ours(family, model_dirs, corpus_dir):
    config = RunConfig(model_name=str(model_dirs(family)), dtype="bfloat16").resolve()
    model = prepare_plain(config, load_corpus(str(corpus_dir))).model
    assert not [module for module in model.modules() if type(module).__module__.startswith("irtuning")]
    assert model.get_base_model().config._attn_implementation == "sdpa"
