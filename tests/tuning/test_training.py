"""train() on tiny random models and a tiny corpus."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers.integrations import TensorBoardCallback, integration_utils

from irtuning.config import RunConfig, parse_config
from irtuning.errors import ConfigError, CorpusError, ModelError
from irtuning.revisions.corpora import load_corpus
from irtuning.tuning import fitting
from irtuning.tuning.card import read_origin
from irtuning.tuning.metrics import score
from irtuning.tuning.reporting import REPORTERS
from irtuning.tuning.training import train


def settings(model_dirs, corpus_dir, family="bert", **more) -> RunConfig:
    return RunConfig(
        **{
            "model_name": str(model_dirs(family)), "dataset_name": str(corpus_dir), "batch_size": 8, "max_steps": 6,
            "learning_rate": 5e-3, "warmup_steps": 1, "lora_r": 4, "max_length": 64, "device": "cpu", "seed": 5, **more,
        }
    )  # fmt: skip


def record(config, out, **more):
    events = []
    return train(config, events.append, output_dir=out, **more), events


@pytest.mark.parametrize(("family", "instruction"), [("bert", False), ("llama", False), ("llama", True), ("bert", True)])
def test_a_whole_run_in_its_order(tmp_path, model_dirs, corpus_dir, family, instruction):
    more = {"use_instruction": instruction, "max_length": 160} if instruction else {}
    result, events = record(settings(model_dirs, corpus_dir, family, **more), tmp_path / "adapter")
    kinds = [e.kind if e.kind != "phase" else e.name for e in events if e.kind != "notice"]
    assert kinds[:4] == ["loading", "encoding", "run_started", "training"]
    assert kinds.count("step") == 6
    assert kinds[-4:] == ["saving", "checkpoint_saved", "evaluating", "evaluated"]
    started = next(e for e in events if e.kind == "run_started")
    assert (started.layers, started.steps) == (4, 6)
    assert started.corpus_sizes == {"train": 96, "validation": 24, "test": 24}
    assert started.labels == result.labels == ["added", "doubled", "removed"]
    assert 0 < started.parameters_trainable < started.parameters_total
    tests = [e for e in events if e.kind == "evaluated" and e.subset == "test"]
    assert len(tests) == 1
    assert tests[0].metrics == result.test
    assert result.probabilities.shape == (24, 3)
    assert np.allclose(result.probabilities.sum(axis=1), 1)
    assert sum(result.layers_trained) == sum(len(e.selected) for e in events if e.kind == "step")
    assert {p.name for p in (tmp_path / "adapter").iterdir()} >= {
        "adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "README.md", "irtuning.json",
    }  # fmt: skip


def test_what_may_be_shared_holds_no_path_of_this_machine(tmp_path, model_dirs, corpus_dir):
    record(settings(model_dirs, corpus_dir), tmp_path / "adapter")
    for path in (tmp_path / "adapter").iterdir():
        if path.suffix in (".json", ".md"):
            text = path.read_text()
            assert str(tmp_path) not in text
            assert str(model_dirs("bert").parent) not in text
            assert str(corpus_dir.parent) not in text
    origin = read_origin(tmp_path / "adapter")
    assert (origin.model_name, origin.base_id) == ("tiny-bert", "tiny-bert")
    assert origin.corpus == corpus_dir.name
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny-bert"


def test_the_same_seed_gives_the_same_run_and_another_seed_another_one(tmp_path, model_dirs, corpus_dir):
    def trace(seed):
        _, events = record(settings(model_dirs, corpus_dir, seed=seed), tmp_path / str(seed))
        return [(e.scores, e.selected, e.loss, e.tokens) for e in events if e.kind == "step"]

    first = trace(5)
    assert trace(5) == first
    assert trace(6) != first


def test_micro_batches_hold_all_tokens_of_the_step(tmp_path, model_dirs, corpus_dir):
    def first(most):
        config = settings(
            model_dirs, corpus_dir, tokens_per_micro_batch=most, lora_dropout=0.0, max_steps=2, tuning_method="full"
        )
        _, events = record(config, tmp_path / str(most))
        return next(e for e in events if e.kind == "step")

    whole, parts = first(4096), first(64)
    # BERT's own dropout is on in training: loss and scores differ by its noise, and are compared on a decoder below.
    assert parts.tokens == whole.tokens


def test_a_decoder_without_dropout_gives_the_same_step_in_micro_batches(tmp_path, model_dirs, corpus_dir):
    steps = []
    for most in (4096, 64):
        config = settings(
            model_dirs, corpus_dir, "llama", tokens_per_micro_batch=most, lora_dropout=0.0, max_steps=2,
            tuning_method="full", dtype="float32",
        )  # fmt: skip
        _, events = record(config, tmp_path / str(most))
        steps.append(next(e for e in events if e.kind == "step"))
    assert steps[0].loss == pytest.approx(steps[1].loss, rel=1e-5)
    assert steps[0].scores == pytest.approx(steps[1].scores, rel=1e-3)


def test_a_stop_between_micro_batches_drops_the_unfinished_step_and_evaluates_nothing_more(
    tmp_path, model_dirs, corpus_dir
):
    events, asked = [], []

    def should_stop():
        steps = sum(e.kind == "step" for e in events)
        asked.append(steps)
        return steps >= 3

    result = train(
        settings(model_dirs, corpus_dir, max_steps=50, num_train_epochs=50),
        events.append,
        output_dir=tmp_path / "adapter",
        should_stop=should_stop,
    )
    assert result.stopped
    assert result.steps == result.best_step == 3
    assert result.test == {}
    after = [e for e in events if e.kind in ("evaluated", "step")]
    assert after[-1].kind == "step"
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    assert read_origin(tmp_path / "adapter").stopped


def test_a_stop_before_the_first_step_leaves_no_adapter(tmp_path, model_dirs, corpus_dir):
    events = []
    result = train(
        settings(model_dirs, corpus_dir),
        events.append,
        output_dir=tmp_path / "adapter",
        should_stop=lambda: any(e.kind == "run_started" for e in events),
    )
    assert result.stopped
    assert result.adapter_dir is None
    assert not (tmp_path / "adapter").exists()


def test_it_learns(tmp_path, model_dirs, corpus_dir):
    config = settings(model_dirs, corpus_dir, "llama", max_steps=60, learning_rate=1e-2, tuning_method="full")
    _, events = record(config, tmp_path / "adapter")
    losses = [e.loss for e in events if e.kind == "step"]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"model_name": "/nowhere/model"}, ModelError, "no base model 'model'"),
        ({"dataset_name": "/nowhere/corpus"}, CorpusError, "corpus"),
        ({"max_length": 5}, ConfigError, "too short to hold a pair"),
        ({"max_length": 4000}, ConfigError, "256 tokens at most"),
        ({"device": "cuda"}, ConfigError, "no cuda device"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(tmp_path, model_dirs, corpus_dir, monkeypatch, change, error, says):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(error, match=says) as caught:
        train(settings(model_dirs, corpus_dir, **change), output_dir=tmp_path)
    assert "\n" not in str(caught.value)
    assert "/nowhere/" not in str(caught.value)


def test_reports_need_their_package(tmp_path, model_dirs, corpus_dir, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None)
    with pytest.raises(ConfigError, match="Reports to trackio need its package") as caught:
        train(settings(model_dirs, corpus_dir, report_to="trackio"), output_dir=tmp_path)
    assert "pip install trackio" in caught.value.advice


def test_layers_that_a_known_model_does_not_have_are_refused_before_anything_is_loaded(tmp_path):
    events = []
    asked = RunConfig(model_name="llama3.1-8b", dataset_name="starter", tuning_method="fixed", layers="40")
    with pytest.raises(ConfigError, match="There is no unit 40: this model has 32"):
        train(asked, events.append, output_dir=tmp_path / "a")
    assert events == []


def test_an_instruction_of_ones_own_is_what_the_model_reads(tmp_path, model_dirs, corpus_dir):
    asked = "the cat {before} ran because {after} of {labels}"
    result, _ = record(settings(model_dirs, corpus_dir, "llama", instruction=asked, max_length=128), tmp_path / "a")
    assert result.config.use_instruction is True
    assert read_origin(tmp_path / "a").encoding["template"] == asked
    with pytest.raises(ConfigError, match="needs the fields"):
        parse_config({"instruction": "no field {before}"})


@pytest.mark.slow
@pytest.mark.parametrize("rule", [
    {"tuning_method": "ir"}, {"tuning_method": "rst"}, {"tuning_method": "ist"}, {"tuning_method": "full"},
    {"tuning_method": "lisa", "lisa_interval": 2}, {"tuning_method": "top-k"}, {"tuning_method": "fixed", "layers": "12-29"},
    {"importance_metric_name": "cosine"}, {"importance_metric_name": "weight"}, {"budget": 0.7, "settle_after": 0.3, "cache_prefix": True},
], ids=lambda rule: "-".join(map(str, rule.values())))  # fmt: skip
def test_every_rule_on_the_real_llm(tmp_path, corpus_dir, rule):
    whole = load_corpus(str(corpus_dir))
    few = replace(whole, validation=whole.validation[:3], test=whole.test[:3])
    # IST's first trial comes in the eleventh step.
    count = 11 if rule.get("tuning_method") == "ist" else 4
    config = RunConfig(model_name="smollm2-135m", dataset_name="few", max_steps=count, batch_size=2, max_length=96, **rule)
    _, events = record(config, tmp_path / "a", corpus=few)
    steps = [e for e in events if e.kind == "step"]
    assert len(steps) == count
    assert all(len(e.scores) == 30 and e.loss == e.loss for e in steps)
    # The warm-up's first step has rate 0.
    assert all(e.moved == e.selected for e in steps[1:])


@pytest.mark.parametrize("name", ["results", "results/notes.txt"])
def test_a_folder_of_something_else_is_not_replaced(tmp_path, model_dirs, corpus_dir, name):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "notes.txt").write_text("months of work")
    with pytest.raises(ConfigError, match="is there already and is no adapter"):
        train(settings(model_dirs, corpus_dir), output_dir=tmp_path / name)
    assert (tmp_path / "results" / "notes.txt").read_text() == "months of work"


def test_reports_hold_loss_rate_importance_and_scores_and_lie_beside_the_checkpoints(tmp_path, model_dirs, corpus_dir, monkeypatch):
    logged, folders = [], []

    class Report(TensorBoardCallback):
        """Stands in for the one that needs tensorboard."""

        def __init__(self):
            self.logging_dir = None

        def on_train_begin(self, args, state, control, **kwargs):
            folders.append(self.logging_dir)

        def on_log(self, args, state, control, logs=None, **kwargs):
            logged.append((state.global_step, logs))

        def on_train_end(self, args, state, control, **kwargs):
            pass

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Report)
    monkeypatch.setitem(REPORTERS, "tensorboard", "json")
    config = settings(model_dirs, corpus_dir, report_to="tensorboard", logging_steps=2)
    _, events = record(config, tmp_path / "run" / "adapter", checkpoints=tmp_path / "run" / "checkpoints")
    losses = {e.step: e.loss for e in events if e.kind == "step"}
    steps = [(step, logs) for step, logs in logged if "loss" in logs]
    assert [step for step, _ in steps] == [2, 4, 6]
    for step, logs in steps:
        assert logs["loss"] == losses[step]
        assert logs["learning_rate"] > 0
        assert any(name.startswith("importance/") for name in logs)
    scored = {e.step: e.metrics["macro_f1"] for e in events if e.kind == "evaluated" and (e.subset, e.of) == ("validation", "network")}
    assert {step: logs["eval_macro_f1"] for step, logs in logged if "eval_macro_f1" in logs} == scored != {}
    assert folders == [str(tmp_path / "run" / "tensorboard")]


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_corpus_without_rows_in_a_part_is_refused_before_anything_is_loaded(tmp_path, model_dirs, corpus_dir, part):
    corpus = replace(load_corpus(str(corpus_dir)), **{part: ()})
    with pytest.raises(CorpusError, match=f"no rows in its {part} part"):
        train(settings(model_dirs, corpus_dir), output_dir=tmp_path / "a", corpus=corpus)
    assert not (tmp_path / "a").exists()


def test_a_run_in_python_leaves_its_adapter_with_its_scores_and_nothing_else(tmp_path, model_dirs, corpus_dir, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = train(settings(model_dirs, corpus_dir, max_steps=2), output_dir="adapter")
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
    assert read_origin(tmp_path / "adapter").metrics["macro_f1"] == result.test["macro_f1"]
    assert f"| macro-F1 | {result.test['macro_f1']:.3f} | not measured |" in (tmp_path / "adapter" / "README.md").read_text()


def test_a_new_training_does_not_begin_among_the_checkpoints_of_another(tmp_path, model_dirs, corpus_dir):
    kept = {"output_dir": tmp_path / "adapter", "checkpoints": tmp_path / "checkpoints"}
    train(settings(model_dirs, corpus_dir, max_steps=4, save_steps=2), **kept)
    with pytest.raises(ConfigError, match="'checkpoints' holds checkpoints of another training"):
        train(settings(model_dirs, corpus_dir, max_steps=4, save_steps=2, seed=9), **kept)
    assert train(settings(model_dirs, corpus_dir, max_steps=4, save_steps=2), **kept, resume=True).steps == 4


@pytest.mark.parametrize(("changed", "says"), [
    ({"seed": 9}, "another seed"), ({"lora_r": 3, "lora_alpha": 7.0}, "another lora r, lora alpha"),
    ({"tuning_method": "rst"}, "another tuning method"),
])
def test_a_training_goes_on_with_its_own_settings_alone(tmp_path, model_dirs, corpus_dir, changed, says):
    kept = {"output_dir": tmp_path / "adapter", "checkpoints": tmp_path / "checkpoints"}
    train(settings(model_dirs, corpus_dir, max_steps=4, save_steps=2), **kept)
    with pytest.raises(ConfigError, match=says):
        train(settings(model_dirs, corpus_dir, max_steps=4, save_steps=2, **changed), **kept, resume=True)
    # What does not touch the training may change.
    assert train(settings(model_dirs, corpus_dir, max_steps=4, save_steps=1, logging_steps=3), **kept, resume=True).steps == 4


def test_the_weights_that_scored_best_on_validation_are_the_ones_that_are_kept(tmp_path, model_dirs, corpus_dir, monkeypatch):
    """Of a run whose scores only fall the first ones: those of the same run, stopped there."""
    falling = iter(range(9, 0, -1))
    monkeypatch.setattr(fitting, "score", lambda *asked: ({**score(*asked)[0], "macro_f1": next(falling) / 10}, score(*asked)[1]))
    asked = settings(model_dirs, corpus_dir, max_steps=12, learning_rate=0.01)
    whole, events = record(asked, tmp_path / "whole")
    first = next(e.step for e in events if e.kind == "evaluated")
    assert whole.best_step == first < whole.steps == 12
    seen = []
    train(asked, seen.append, output_dir=tmp_path / "part", should_stop=lambda: sum(e.kind == "step" for e in seen) >= first)
    kept, stopped = (load_file(folder / "adapter_model.safetensors") for folder in (whole.adapter_dir, tmp_path / "part"))
    assert all(torch.equal(kept[key], stopped[key]) for key in kept)
