"""Padding is left out of the adapters' layers and nothing else changes; a model that looks at padding is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import FNetConfig, FNetForSequenceClassification

from irtuning.tuning.batches import collate
from irtuning.tuning.layers import find_layers, train_only
from irtuning.tuning.padding import Padding
from irtuning.tuning.training import train
from tests.conftest import FAMILIES, tiny_model, with_adapter
from tests.tuning.test_prefix import ROWS, gradients, still
from tests.tuning.test_training import settings

LENGTHS = [len(row["input_ids"]) for row in ROWS]
PLACES = len(ROWS) * max(LENGTHS)


@pytest.fixture
def computed(monkeypatch):
    """Places for which the fused layers computed a product, call by call."""
    seen = []
    original = nn.functional.linear

    def linear(x, weight, bias=None):
        if x.dim() == 2:
            seen.append(len(x))
        return original(x, weight, bias)

    monkeypatch.setattr(nn.functional, "linear", linear)
    return seen


def passed(model, padding=None):
    model.zero_grad()
    batch = collate(ROWS, 0)
    if padding is None:
        loss = model(**batch).loss
        loss.backward()
    else:
        with padding.left_out(LENGTHS):
            loss = model(**batch).loss
            loss.backward()
    return loss.detach(), gradients(model)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_loss_and_gradients_are_those_with_padding(family, computed):
    model = still(with_adapter(tiny_model(family)))
    train_only(find_layers(model), [1, 3])
    padding = Padding(model, ROWS, 0, torch.float32)
    # GPT-2's layers are no nn.Linear: they compute as peft has it.
    assert padding.is_left_out == (family != "gpt2")
    computed.clear()
    expected_loss, expected = passed(model)
    assert (PLACES in computed) == (family != "gpt2")
    computed.clear()
    loss, found = passed(model, padding)
    assert (sum(LENGTHS) in computed) == (family != "gpt2")
    # OPT joins rows and places before its MLP.
    assert PLACES not in computed or family == "opt"
    torch.testing.assert_close(loss, expected_loss, atol=1e-5, rtol=1e-4)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3)


def test_activations_that_are_computed_again_leave_it_out_too(computed):
    model = still(with_adapter(tiny_model("llama")))
    padding = Padding(model, ROWS, 0, torch.float32)
    _, expected = passed(model)
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    computed.clear()
    _, found = passed(model, padding)
    assert set(computed) == {sum(LENGTHS)}
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3)


def test_a_model_that_mixes_padding_in_is_left_alone():
    torch.manual_seed(0)
    config = FNetConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=2, intermediate_size=32, max_position_embeddings=32, num_labels=3, pad_token_id=0
    )
    model = FNetForSequenceClassification(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    made = with_adapter(model)
    rows = [{key: value for key, value in row.items() if key != "attention_mask"} for row in ROWS]
    padding = Padding(made, rows, 0, torch.float32)
    assert not padding.is_left_out


def test_without_rows_of_several_lengths_nothing_is_left_out():
    model = with_adapter(tiny_model("llama"))
    assert not Padding(model, ROWS[:1] * 3, 0, torch.float32).is_left_out


def test_afterwards_whole_batches_are_computed(computed):
    model = with_adapter(tiny_model("llama")).eval()
    padding = Padding(model, ROWS, 0, torch.float32)
    with pytest.raises(ValueError, match="broken"), padding.left_out(LENGTHS):
        raise ValueError("broken")
    computed.clear()
    model(**collate(ROWS, 0))
    assert set(computed) == {PLACES}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_leaves_it_out_where_that_pays(tmp_path, model_dirs, corpus_dir, computed, dtype):
    config = settings(model_dirs, corpus_dir, "llama", max_steps=3, batch_size=8, lora_dropout=0.0, tuning_method="full", dtype=dtype)
    tokens = []
    train(config, lambda e: tokens.append(e.tokens) if e.kind == "step" else None, output_dir=tmp_path / "adapter")
    assert len(tokens) == 3
    assert computed
    found = set(tokens) & set(computed)
    assert found == (set(tokens) if dtype == "float32" else set())
