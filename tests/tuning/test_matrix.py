"""Every rule with every importance and adapter on a tiny Llama, and every rule on every family; refusals are printed."""

from __future__ import annotations

from itertools import product

import pytest

from irtuning.config import RunConfig, parse_config
from irtuning.errors import ConfigError
from irtuning.tuning.training import train
from tests.conftest import FAMILIES

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
UNITS = ("layer", "block", "module")


def run(model_dirs, corpus_dir, out, family: str = "llama", **choices):
    """A few steps of training; its steps, or None with the reason printed where the choices have no meaning together."""
    # IST's first trial comes in the eleventh step.
    count = 12 if choices.get("tuning_method") == "ist" else 5
    values = {
        "model_name": str(model_dirs(family)), "dataset_name": str(corpus_dir), "batch_size": 8, "max_steps": count,
        "learning_rate": 5e-3, "warmup_steps": 0, "max_length": 64, "device": "cpu", "seed": 5, "save_steps": 0,
        **({"bottleneck_width": 4} if choices.get("adapter_name") == "bottleneck" else {"lora_r": 2}), **choices,
    }  # fmt: skip
    try:
        config = parse_config(values)
    except ConfigError as refusal:
        print(f"refused: {choices}: {refusal.what}")
        return None
    steps = []
    result = train(config, lambda e: steps.append(e) if e.kind == "step" else None, output_dir=out)
    assert (result.adapter_dir / "adapter_model.safetensors").is_file()
    assert len(steps) == count
    for step in steps:
        # What trained moved and nothing else did: the zeros that a fresh adapter starts from move in the first step.
        assert step.moved == step.selected
        assert step.loss == step.loss
    return steps


@pytest.mark.parametrize(("rule", "metric", "adapter"), list(product(RULES, METRICS, ADAPTERS)))
def test_rules_with_importance_and_adapters(tmp_path, model_dirs, corpus_dir, rule, metric, adapter):
    steps = run(
        model_dirs, corpus_dir, tmp_path / "a", tuning_method=rule, importance_metric_name=metric, adapter_name=adapter,
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
def test_rules_on_families(tmp_path, model_dirs, corpus_dir, rule, family):
    assert run(model_dirs, corpus_dir, tmp_path / "a", family, tuning_method=rule, **RULES[rule])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("metric", ["cosine", "weight"])
def test_importance_on_families(tmp_path, model_dirs, corpus_dir, family, metric):
    steps = run(model_dirs, corpus_dir, tmp_path / "a", family, importance_metric_name=metric)
    assert all(score is not None for score in steps[0].scores)


@pytest.mark.parametrize(("unit", "metric", "rule"), list(product(UNITS, METRICS, ["ir", "ist"])))
def test_units_with_importance(tmp_path, model_dirs, corpus_dir, unit, metric, rule):
    steps = run(
        model_dirs, corpus_dir, tmp_path / "a", selection_unit=unit, importance_metric_name=metric, tuning_method=rule
    )
    if metric != "gradient" and unit != "layer":
        assert steps is None
        return
    assert len(steps[0].scores) == {"layer": 4, "block": 8, "module": 20}[unit]


@pytest.mark.parametrize(
    "options",
    [{"refresh_every": 4}, {"relative_to": "own-mean"}, {"relative_to": "weight-norm"}, {"relative_to": "parameters"},
     {"explore": 0.5}, {"budget": 0.7}, {"boundary": "exact"}, {"split_num": 2}],
    ids=lambda o: next(iter(o)),
)  # fmt: skip
def test_options_of_the_papers_rule(tmp_path, model_dirs, corpus_dir, options):
    assert run(model_dirs, corpus_dir, tmp_path / "a", **options)


def test_the_rules_are_all_that_a_config_takes():
    import typing

    taken = {
        value
        for part in typing.get_args(RunConfig.model_fields["tuning_method"].annotation)
        for value in typing.get_args(part)
    }
    assert taken == set(RULES)
