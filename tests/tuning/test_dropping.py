"""Dropout with masks from few bits: torch's distribution, its scale, its gradient, its generator."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from irtuning.tuning.dropping import QuickDropout, keep_mask, quicken_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_so_many_units_fall_and_the_others_are_scaled(dtype, share):
    torch.manual_seed(0)
    x = torch.ones(400, 500, dtype=dtype, requires_grad=True)
    y = QuickDropout(share)(x)
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
    first, second = QuickDropout(0.3)(torch.ones(99)), QuickDropout(0.3)(torch.ones(99))
    torch.manual_seed(7)
    assert torch.equal(QuickDropout(0.3)(torch.ones(99)), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("share", [0.0, 1.0, 0.2])
def test_nothing_falls_outside_of_training_and_the_ends_are_torchs(share):
    module = QuickDropout(share)
    if share == 0.2:
        module.eval()
    x = torch.ones(50)
    assert torch.equal(module(x), x * (0.0 if share == 1.0 else 1.0))


def test_a_model_keeps_its_modules():
    class Own(nn.Dropout):
        pass

    model = nn.Sequential(nn.Dropout(0.2), Own(0.2), nn.Linear(2, 2))
    quicken_dropout(model)
    assert [type(module) for module in model] == [QuickDropout, Own, nn.Linear]
    assert model[0].p == 0.2
