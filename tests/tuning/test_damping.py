"""What IST learns from: losses with some adapters damped, and nothing left behind."""

from __future__ import annotations

import pytest
import torch

from irtuning.tuning.damping import losses_under_damping
from irtuning.tuning.layers import find_layers
from tests.conftest import tiny_model, with_adapter


def batch(rows: int, seed: int) -> dict[str, torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 150, (rows, 8), generator=chance)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.arange(rows) % 3}


def loud(adapter: str):
    """A model whose adapters matter: fresh ones add nothing."""
    model = with_adapter(tiny_model("llama"), adapter).train()
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in find_layers(model):
            for _, parameter in layer.parameters:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("adapter", ["lora", "dora", "bottleneck"])
def test_each_set_is_damped_alone_and_the_model_is_left_as_it_was(adapter):
    model = loud(adapter)
    layers = find_layers(model)
    inputs = batch(6, 0)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        before = model.eval()(**inputs).loss
    model.train()
    one, two, none = losses_under_damping(model, layers, [(0, 1), (2, 3), ()], [(inputs, torch.tensor(6.0))])
    assert model.training
    with torch.no_grad():
        assert torch.equal(model.eval()(**inputs).loss, before)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    assert none == pytest.approx(float(before), rel=1e-6)
    assert len({round(loss, 5) for loss in (one, two, none)}) == 3


def test_damping_is_a_quarter_of_what_the_adapter_adds():
    model = loud("lora")
    layers, inputs = find_layers(model), batch(6, 0)
    (found,) = losses_under_damping(model, layers, [(1, 2)], [(inputs, torch.tensor(6.0))])
    with torch.no_grad():
        for name, parameter in [pair for unit in (1, 2) for pair in layers[unit].parameters]:
            if "lora_B" in name:
                parameter.mul_(0.25)
        assert found == pytest.approx(float(model.eval()(**inputs).loss), rel=1e-5)


def test_the_loss_of_a_batch_in_parts_is_that_of_the_whole():
    model = loud("lora")
    layers, inputs = find_layers(model), batch(6, 0)
    parts = [({key: value[rows] for key, value in inputs.items()}, torch.tensor(float(n))) for rows, n in
             ((slice(0, 4), 4), (slice(4, 6), 2))]
    whole = losses_under_damping(model, layers, [(0,), (3,)], [(inputs, torch.tensor(6.0))])
    assert losses_under_damping(model, layers, [(0,), (3,)], parts) == pytest.approx(whole, rel=1e-5)
