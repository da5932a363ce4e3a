"""Every rule with every importance and adapter on a tiny Llama, and every rule on every family; refusals are printed."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from irtuning.config import RunConfig, parse_config
from irtuning.errors import ConfigError
from irtuning.revisions.corpora import load_corpus
from irtuning.tuning.importance import weight_scores
from irtuning.tuning.layers import layer_modules
from irtuning.tuning.selection import select_layers
from irtuning.tuning.training import train
from tests.conftest import FAMILIES, tiny_model

RULES = {
    "ir": {},
    "rst": {},
    "ist": {},
    "full": {},
    "lisa": {"lisa_interval": 2},
    "top-k": {"layer_count": 2},
    "fixed": {"layers": "1,3"},
}
METRICS = ("gradient", "cosine", "weight")
ADAPTERS = ("lora", "dora", "bottleneck")
UNITS = ("block", "module")


@pytest.fixture(scope="module")
def few(corpus_dir):
    """The tiny corpus with few rows to score: what is tested here is done in training."""
    whole = load_corpus(str(corpus_dir))
    return replace(whole, validation=whole.validation[:6], test=whole.test[:6])


def run(model_dirs, few, out, family: str = "llama", **choices):
    """A few steps of training; its steps, or None with the reason printed where the choices have no meaning together."""
    # IST's first trial comes in the eleventh step.
    count = 12 if choices.get("tuning_method") == "ist" else 5
    values = {
        "model_name": str(model_dirs(family)), "dataset_name": few.name, "batch_size": 8, "max_steps": count,
        "learning_rate": 5e-3, "warmup_steps": 0, "max_length": 64, "device": "cpu", "seed": 5, "save_steps": 0,
        **({"bottleneck_width": 4} if choices.get("adapter_name") == "bottleneck" else {"lora_r": 2}), **choices,
    }  # fmt: skip
    try:
        config = parse_config(values)
    except ConfigError as refusal:
        print(f"refused: {choices}: {refusal.what}")
        return None
    steps = []
    result = train(config, lambda e: steps.append(e) if e.kind == "step" else None, output_dir=out, corpus=few)
    assert (result.adapter_dir / "adapter_model.safetensors").is_file()
    assert len(steps) == count
    for step in steps:
        # What trained moved and nothing else did: the zeros that a fresh adapter starts from move in the first step.
        assert step.moved == step.selected
        assert step.loss == step.loss
    return steps


@pytest.mark.parametrize(("rule", "metric", "adapter"), list(product(RULES, METRICS, ADAPTERS)))
def test_rules_with_importance_and_adapters(tmp_path, model_dirs, few, rule, metric, adapter):
    steps = run(
        model_dirs, few, tmp_path / "a", tuning_method=rule, importance_metric_name=metric, adapter_name=adapter,
        **RULES[rule],
    )  # fmt: skip
    assert steps is not None
    for step in steps:
        measured = [i for i, score in enumerate(step.scores) if score is not None]
        assert measured == (step.selected if metric == "gradient" else [0, 1, 2, 3])
    if metric == "cosine":
        assert all(-1.001 <= score <= 1.001 for step in steps for score in step.scores)
    if metric == "weight":
        assert len({tuple(step.scores) for step in steps}) == 1
    if metric == "weight" and rule in ("ir", "top-k"):
        assert len({tuple(step.selected) for step in steps}) == 1


@pytest.mark.parametrize(("rule", "family"), list(product(RULES, FAMILIES)))
def test_rules_on_families(tmp_path, model_dirs, few, rule, family):
    assert run(model_dirs, few, tmp_path / "a", family, tuning_method=rule, **RULES[rule])


@pytest.mark.parametrize("family", FAMILIES)
def test_cosine_on_families(tmp_path, model_dirs, few, family):
    steps = run(model_dirs, few, tmp_path / "a", family, importance_metric_name="cosine")
    assert all(-1.001 <= score <= 1.001 for score in steps[0].scores)


OUTPUTS = {
    "phi": "self_attn.dense", "gpt2": "attn.c_proj", "gpt_neox": "attention.dense", "opt": "self_attn.out_proj",
    "bert": "attention.output.dense", "roberta": "attention.output.dense", "deberta-v2": "attention.output.dense",
    "distilbert": "attention.out_lin", "modernbert": "attn.Wo",
}  # fmt: skip
"""Where the attention's output projection lies in families that do not call it as Llama does."""


@pytest.mark.parametrize("family", FAMILIES)
def test_weight_is_the_norm_of_the_attentions_output_projection(family):
    layers = layer_modules(tiny_model(family))[1]
    weights = [layer.get_submodule(OUTPUTS.get(family, "self_attn.o_proj")).weight.detach().numpy() for layer in layers]
    assert weight_scores(layers) == pytest.approx([float(np.sqrt((w**2).sum())) for w in weights], rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("adapter", "unit"), [("dora", "block"), ("bottleneck", "module")])
def test_adapters_and_finer_units_on_families(tmp_path, model_dirs, few, family, adapter, unit):
    steps = run(model_dirs, few, tmp_path / "a", family, adapter_name=adapter, selection_unit=unit)
    assert len(steps[0].scores) >= 8


@pytest.mark.parametrize(("unit", "metric", "rule"), list(product(UNITS, METRICS, ["ir", "ist"])))
def test_units_with_importance(tmp_path, model_dirs, few, capsys, unit, metric, rule):
    steps = run(model_dirs, few, tmp_path / "a", selection_unit=unit, importance_metric_name=metric, tuning_method=rule)
    if metric != "gradient":
        assert steps is None
        assert f"{metric} importance is measured for whole layers: set selection unit to layer" in capsys.readouterr().out.lower()
        return
    assert len(steps[0].scores) == {"block": 8, "module": 20}[unit]


# -- options of the paper's rule ------------------------------------------------------------------------------------


def ranked(steps, **rule):
    """(the scores known before it, the step, what the rule takes of them) for each step that did not draw at random."""
    scores = [1000.0] * 4
    for step in steps:
        if set(scores) != {1000.0}:
            yield scores, step, list(select_layers(scores, **rule).layers)
        scores = [old if new is None else new for old, new in zip(scores, step.scores, strict=True)]


def test_the_papers_rule_takes_what_the_scores_say(tmp_path, model_dirs, few):
    seen = list(ranked(run(model_dirs, few, tmp_path / "a")))
    assert seen
    assert all(step.selected == taken for _, step, taken in seen)


@pytest.mark.parametrize(("option", "rule"), [({"boundary": "exact"}, {"boundary": "exact"}), ({"split_num": 2}, {"splits": 2})])
def test_another_cut_takes_other_layers(tmp_path, model_dirs, few, option, rule):
    seen = list(ranked(run(model_dirs, few, tmp_path / "a", **option), **rule))
    assert seen
    assert all(step.selected == taken for _, step, taken in seen)
    assert any(taken != list(select_layers(scores).layers) for scores, _, taken in seen)


def test_refreshing_trains_all_layers_now_and_then(tmp_path, model_dirs, few):
    steps = run(model_dirs, few, tmp_path / "a", refresh_every=3)
    assert [step.selected == [0, 1, 2, 3] for step in steps] == [True, False, False, True, False]


@pytest.mark.parametrize(("relative_to", "unit"), [("own-mean", "layer"), ("weight-norm", "module"), ("parameters", "module")])
def test_relative_scores_lead_to_another_choice(tmp_path, model_dirs, few, relative_to, unit):
    """Layers are alike in norm and size, so that parts of layers are chosen by those."""
    asked = {"refresh_every": 3, "selection_unit": unit}
    plain = [step.selected for step in run(model_dirs, few, tmp_path / "a", **asked)]
    assert [step.selected for step in run(model_dirs, few, tmp_path / "b", relative_to=relative_to, **asked)] != plain


def test_exploring_exchanges_a_part_of_the_choice(tmp_path, model_dirs, few):
    seen = list(ranked(run(model_dirs, few, tmp_path / "a", explore=0.5)))
    assert any(step.selected != taken for _, step, taken in seen)
    assert all(len(step.selected) == len(taken) for _, step, taken in seen)


def test_a_budget_leaves_less_to_train(tmp_path, model_dirs, few):
    steps = run(model_dirs, few, tmp_path / "a", budget=0.7)
    # Every fourth step is whole.
    assert [len(step.selected) == 4 for step in steps] == [True, False, False, False, True]


def test_the_rules_are_all_that_a_config_takes():
    import typing

    taken = {
        value
        for part in typing.get_args(RunConfig.model_fields["tuning_method"].annotation)
        for value in typing.get_args(part)
    }
    assert taken == set(RULES)
