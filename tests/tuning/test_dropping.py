"""Dropout with masks from few bits: torch's distribution, its scale, its gradient, its generator."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from irtuning.tuning.batches import collate
from irtuning.tuning.dropping import QuickDropout, dropout, drops, keep_mask
from irtuning.tuning.training import train
from tests.conftest import tiny_model
from tests.tuning.test_prefix import ROWS
from tests.tuning.test_training import settings


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_so_many_units_fall_and_the_others_are_scaled(dtype, share):
    torch.manual_seed(0)
    x = torch.ones(400, 500, dtype=dtype, requires_grad=True)
    y = dropout(x, share)
    # 200,000 units: five standard deviations.
    assert (y == 0).double().mean().item() == pytest.approx(share, abs=5 * (share * (1 - share) / 200_000) ** 0.5)
    assert y[y != 0].unique().tolist() == pytest.approx([1 / (1 - share)], rel=5e-3)
    assert y.dtype == dtype
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.integers(1, 65_535))
def test_a_mask_has_any_shape(shape, dropped):
    mask = keep_mask(torch.Size(shape), dropped)
    assert mask.shape == torch.Size(shape)
    assert mask.dtype == torch.bool


def test_neighbours_fall_independently():
    torch.manual_seed(1)
    kept = keep_mask(torch.Size([1_000_000]), 2**15).double() - 0.5
    for apart in (1, 2, 3, 4):
        assert abs((kept[apart:] * kept[:-apart]).mean().item()) < 5 * 0.25 / 1000


def test_it_follows_torchs_generator():
    torch.manual_seed(7)
    first, second = dropout(torch.ones(99), 0.3), dropout(torch.ones(99), 0.3)
    torch.manual_seed(7)
    assert torch.equal(dropout(torch.ones(99), 0.3), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("share", [0.0, 1.0, 0.2])
def test_nothing_falls_outside_of_training_and_the_ends_are_torchs(share):
    x = torch.ones(50)
    assert torch.equal(dropout(x, share, training=share != 0.2), x * (0.0 if share == 1.0 else 1.0))


def test_in_place_is_torchs():
    x = torch.ones(50)
    assert dropout(x, 0.5, inplace=True) is x
    assert (x == 0).any()


@pytest.fixture
def shapes(monkeypatch):
    """Of what was dropped this way."""
    seen = []
    original = keep_mask
    monkeypatch.setattr("irtuning.tuning.dropping.keep_mask", lambda shape, dropped: seen.append(tuple(shape)) or original(shape, dropped))
    return seen


def test_while_it_stands_modules_and_function_calls_drop_this_way(shapes):
    module, x = nn.Dropout(0.5), torch.ones(7)
    with QuickDropout():
        assert set(module(x).tolist()) <= {0.0, 2.0}
        nn.functional.dropout(x[:3], p=0.5, training=True)
        nn.functional.dropout(x[:4], 0.5, False)
        assert torch.equal(module.eval()(x), x)
    module.train()(x)
    assert shapes == [(7,), (3,)]


def test_the_weights_of_plain_attention_fall_this_way_too(shapes):
    model = tiny_model("bert")
    model.set_attn_implementation("eager")
    with QuickDropout():
        model.train()(**collate(ROWS, 0))
    heads, width = model.config.num_attention_heads, max(len(row["input_ids"]) for row in ROWS)
    assert shapes.count((len(ROWS), heads, width, width)) == model.config.num_hidden_layers


def test_a_run_drops_this_way(tmp_path, model_dirs, corpus_dir, shapes):
    config = settings(model_dirs, corpus_dir, "bert", max_steps=2, dtype="bfloat16")
    train(config, lambda event: None, output_dir=tmp_path / "adapter")
    assert {len(shape) for shape in shapes} == {2, 3, 4}  # the head's, the layers', attention's


def test_a_run_that_computes_activations_again_drops_as_torch_does(tmp_path, model_dirs, corpus_dir, shapes):
    config = settings(model_dirs, corpus_dir, "bert", max_steps=2, dtype="bfloat16", gradient_checkpointing=True)
    train(config, lambda event: None, output_dir=tmp_path / "adapter")
    assert not shapes


def test_a_model_without_dropout_is_told_from_one_with_it():
    assert drops(tiny_model("bert").modules())
    assert not drops(tiny_model("llama").modules())
