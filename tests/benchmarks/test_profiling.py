"""The profile by hand, and on a tiny model."""

from __future__ import annotations

import json

import pytest

from irtuning.config import RunConfig
from tests.benchmarks.profiling import OTHER, kind_of, profiled, shares, table


def test_operations_are_told_apart_by_their_names():
    assert kind_of("aten::addmm") == "products"
    assert kind_of("aten::_scaled_dot_product_flash_attention_for_cpu") == "attention"
    assert kind_of("aten::native_layer_norm_backward") == "norms and activations"
    assert kind_of("aten::_fused_adamw_") == "optimizer, measuring, clipping"
    assert kind_of("autograd::engine") == OTHER


def test_shares_are_of_all_and_the_largest_comes_first():
    assert shares([("aten::mm", 1.0), ("aten::gelu", 2.0), ("aten::bmm", 5.0)]) == {"products": 0.75, "norms and activations": 0.25}
    assert shares([]) == {}


def test_some_steps_of_a_training_are_profiled(model_dirs, corpus_dir):
    config = RunConfig(model_name=str(model_dirs("bert")), dataset_name=str(corpus_dir), batch_size=8, max_length=64, lora_r=2)
    found = profiled(config, after=2, steps=3)
    assert json.loads(json.dumps(found))["steps"] == 3
    assert sum(found["kinds"].values()) == pytest.approx(1)
    assert found["kinds"]["products"] > 0.05
    assert 0 < found["in_operations"] <= 1.2
    assert table(found).count("\n") > 8
