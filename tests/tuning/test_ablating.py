"""Switching a layer's adapters off and on again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irtuning.errors import AdapterError
from irtuning.tuning.ablating import logits_without_layers, switched_off
from irtuning.tuning.layers import find_layers, layer_adapters, train_only
from tests.conftest import FAMILIES, tiny_model, with_adapter

ROWS = [{"input_ids": list(range(4, 4 + n)), "attention_mask": [1] * n} for n in (5, 9, 3)]


def adapted(family, adapter="lora"):
    """A model whose adapters do something."""
    model = with_adapter(tiny_model(family), adapter).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in find_layers(model):
            for _, parameter in layer.parameters:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def logits(model):
    return logits_without_layers(model, ROWS, pad_token_id=0, dtype=torch.float32, longest=64)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_each_of_its_layers_switched_off(family):
    model = adapted(family)
    whole, without = logits(model)
    assert (whole.shape, without.shape) == ((3, 3), (4, 3, 3))
    assert all(not np.allclose(whole, part, atol=1e-6) for part in without)
    with model.disable_adapter(), torch.no_grad():
        bare = model(input_ids=torch.tensor([ROWS[1]["input_ids"]])).logits[0].numpy()
    modules = [module for layer in layer_adapters(model) for module in layer]
    # Heads are saved in full; they stay on, and at their first values are those of the bare model.
    with switched_off(modules), torch.no_grad():
        off = model(input_ids=torch.tensor([ROWS[1]["input_ids"]])).logits[0].numpy()
    assert np.allclose(off, bare, atol=1e-5)
    again, without_again = logits(model)
    assert np.array_equal(whole, again)
    assert np.array_equal(without, without_again)


@pytest.mark.parametrize("adapter", ["lora", "dora", "bottleneck"])
def test_what_rests_goes_on_resting_and_what_trains_goes_on_training(adapter):
    model = adapted("bert", adapter)
    train_only(find_layers(model), [1])
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    assert len(set(before.values())) == 2
    logits(model)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before


def test_broken_off_in_the_middle_it_leaves_everything_on():
    model = adapted("llama", "dora")
    first, _ = logits(model)
    calls = iter(range(100))

    def check():
        if next(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        logits_without_layers(model, ROWS, pad_token_id=0, dtype=torch.float32, longest=64, check=check)
    assert not any(module.disable_adapters for layer in layer_adapters(model) for module in layer)
    assert np.array_equal(logits(model)[0], first)


def test_what_was_off_stays_off():
    model = adapted("llama")
    modules = layer_adapters(model)[0]
    modules[0].enable_adapters(False)
    with switched_off(modules):
        assert all(module.disable_adapters for module in modules)
    assert [module.disable_adapters for module in modules] == [True] + [False] * (len(modules) - 1)


def test_a_layer_without_an_adapter_changes_nothing_and_a_model_without_any_is_refused():
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        tiny_model("llama"), LoraConfig(target_modules=["q_proj"], layers_to_transform=[1], init_lora_weights=False)
    ).eval()
    whole, without = logits(model)
    assert [np.array_equal(whole, part) for part in without] == [True, False, True, True]
    with pytest.raises(AdapterError, match="No layer of this model has an adapter"):
        logits(tiny_model("llama"))
