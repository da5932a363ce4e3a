"""Runs side by side, on runs that never were."""

from __future__ import annotations

import json

import pytest

from irtuning.errors import ConfigError, RunError
from irtuning.insight.comparison import Subject, compare, same_settings, trained_shares
from irtuning.insight.history import RunHistory
from tests.simulated import plain, simulate

CONFIG = {
    "model_name": "smollm2-135m", "dataset_name": "starter", "tuning_method": "ir", "importance_metric_name": "gradient",
    "seed": 1, "corpus": {"fingerprint": "f"}, "weights": "package",
}  # fmt: skip


def subject(run, seed=1, layers=8, steps=10, f1=0.5, **config):
    method = config.get("tuning_method", "ir")
    events = plain(*simulate(layers=layers, steps=steps, method=method, seed=seed, seconds=1.0 if method == "ir" else 2.0))
    metrics = {"accuracy": f1, "macro_f1": f1, "weighted_f1": f1, "au_prc": f1, "per_class": {}}
    return Subject(run, {**CONFIG, "seed": seed, **config}, events, metrics)


def test_each_run_is_set_against_the_one_that_trains_all_layers():
    found = compare([subject("a"), subject("b", tuning_method="full"), subject("c", model_name="other")])
    first, full, other = found["runs"]
    assert [row["reference"] for row in found["runs"]] == ["b", "b", None]
    assert first["ratios"]["seconds"] == pytest.approx(0.5)
    assert first["ratios"]["trained_share"] == first["price"]["trained_share"] < 1
    assert (full["ratios"]["seconds"], full["successive"]) == (1.0, 1.0)
    assert other["ratios"] is None
    assert found["stability"] == []
    json.dumps(found, allow_nan=False)


def test_overlap_is_given_for_every_pair_of_one_model():
    same = [subject("a"), subject("b"), subject("c", tuning_method="full"), subject("d", model_name="x", layers=6)]
    pairs = {tuple(pair["runs"]): pair for pair in compare(same)["overlap"]}
    assert len(pairs) == 6
    assert (pairs["a", "b"]["stepwise"], pairs["a", "b"]["frequency"]) == (1.0, 1.0)
    # Against all layers, the overlap is the share that trained.
    assert pairs["a", "c"]["frequency"] == pytest.approx(compare(same)["runs"][0]["price"]["trained_share"])
    assert pairs["a", "d"]["stepwise"] is None


def test_seeds_of_one_setting_are_taken_together():
    one, two, again = subject("a", seed=1, f1=0.4), subject("b", seed=2, f1=0.6), subject("c", seed=2)
    odd = subject("d", seed=3, learning_rate=0.1)
    told = subject("e", seed=4, f1=0.5, logging_steps=50, report_to="none")
    assert [[s.run for s in group] for group in same_settings([one, two, again, odd, told])] == [["a", "b", "e"]]
    other_corpus = subject("f", seed=5, corpus={"fingerprint": "g"})
    assert same_settings([one, other_corpus]) == []
    (group,) = compare([one, two, odd])["stability"]
    assert (group["runs"], group["layers"]) == (("a", "b"), 8)
    assert group["metrics"]["macro_f1"]["mean"] == pytest.approx(0.5)
    assert group["metrics"]["macro_f1"]["low"] < 0.4


def test_units_are_told_by_the_layer_they_lie_in():
    header = {"layer_names": ["m.1", "m.10"], "unit_names": ["m.1.attention", "m.1.mlp", "m.10.attention", "m.10.mlp"]}
    assert RunHistory(header=header).owners == [0, 0, 1, 1]
    assert RunHistory(header={"layer_names": ["m.0"], "unit_names": []}).owners == []
    events = plain(*simulate(layers=4, steps=3, method="full"))
    for event in events:
        if event["kind"] == "run_started":
            event.update(header, layers=2)
        elif event["kind"] == "step":
            event["selected"] = [0, 1] if event["step"] == 1 else [1, 2]
    run = Subject("a", CONFIG, events, None)
    assert (run.layers, run.selections[1], run.layer_selections[1]) == (2, (1, 2), (0, 1))
    assert trained_shares(run) == pytest.approx([1.0, 2 / 3])


@pytest.mark.parametrize("count", [0, 1, 7])
def test_too_few_or_too_many_are_refused(count):
    with pytest.raises(ConfigError, match=f"2 to 6 runs, not {count}"):
        compare([subject(f"r{i}") for i in range(count)])


def test_a_run_twice_or_without_a_step_is_refused():
    with pytest.raises(ConfigError, match="'a' is named twice"):
        compare([subject("a"), subject("b"), subject("a")])
    with pytest.raises(RunError, match="'q' has made no step"):
        compare([subject("a"), Subject("q", CONFIG, plain(*simulate(steps=0))[:2], None)])
