"""Cosine importance against the sums done by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from irtuning.tuning.hidden import CosineMeter


class Stack(nn.Module):
    """Two layers: the first turns the states, the second leaves their direction."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Identity()])

    def forward(self, states: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        for layer in self.layers:
            states = layer(states)
        return states


def by_hand(into: torch.Tensor, out: torch.Tensor, mask: torch.Tensor) -> float:
    cosines = []
    for position in range(into.shape[1]):
        rows = [r for r in range(into.shape[0]) if mask[r, position]]
        if rows:
            a = torch.stack([into[r, position] for r in rows]).mean(0)
            b = torch.stack([out[r, position] for r in rows]).mean(0)
            cosines.append(float(a @ b / a.norm() / b.norm()))
    return sum(cosines) / len(cosines)


@pytest.fixture
def metered():
    model = Stack().train()
    return model, CosineMeter(model, list(model.layers))


def test_it_is_the_cosine_of_mean_states_a_position_without_padding(metered):
    model, meter = metered
    states = torch.randn(3, 5, 4)
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
    out = model.layers[0](states)
    meter.reset()
    model(states, attention_mask=mask)
    scores = meter.scores()
    assert float(scores[0]) == pytest.approx(by_hand(states, out, mask), abs=1e-5)
    assert float(scores[1]) == pytest.approx(1.0, abs=1e-5)


def test_what_stands_in_the_padding_does_not_matter(metered):
    model, meter = metered
    states = torch.randn(2, 4, 4)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    model(states, attention_mask=mask)
    first = meter.scores()
    meter.reset()
    model(torch.where(mask[..., None] > 0, states, torch.tensor(99.0)), attention_mask=mask)
    torch.testing.assert_close(meter.scores(), first)


def test_micro_batches_of_other_widths_add_up_to_the_whole(metered):
    model, meter = metered
    states = torch.randn(4, 6, 4)
    mask = torch.tensor([[1] * 6, [1] * 5 + [0], [1] * 2 + [0] * 4, [1] * 3 + [0] * 3])
    model(states, attention_mask=mask)
    whole = meter.scores()
    meter.reset()
    model(states[2:, :3], attention_mask=mask[2:, :3])
    model(states[:2], attention_mask=mask[:2])
    torch.testing.assert_close(meter.scores(), whole, atol=1e-5, rtol=1e-5)


def test_evaluation_does_not_count_and_nothing_seen_is_no_number(metered):
    model, meter = metered
    model.eval()
    model(torch.randn(2, 3, 4))
    assert torch.isnan(meter.scores()).all()
    meter.remove()
    assert not model._forward_pre_hooks


def test_the_sums_are_in_float32_where_the_pass_computes_in_half_of_it(metered):
    model, meter = metered
    model.layers[0].weight.data = torch.eye(4) + 0.01 * torch.randn(4, 4)
    seen = []
    model.layers[0].register_forward_hook(lambda layer, given, out: seen.append((given[0], out)))
    mask = torch.ones(8, 40, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(8, 40, 4), attention_mask=mask)
    ((into, out),) = seen
    assert out.dtype == torch.bfloat16
    scores = meter.scores()
    assert scores.dtype == torch.float32
    assert float(scores[0]) == pytest.approx(by_hand(into.float(), out.float(), mask), abs=1e-6)


def test_a_mask_that_counts_other_things_than_positions_is_left_out_of_it(metered):
    model, meter = metered
    states = torch.randn(3, 5, 4)
    out = model.layers[0](states)
    model(states, attention_mask=torch.ones(3, 40))
    model(states, attention_mask=torch.ones(3, 40))
    assert float(meter.scores()[0]) == pytest.approx(by_hand(states, out, torch.ones(3, 5)), abs=1e-5)
