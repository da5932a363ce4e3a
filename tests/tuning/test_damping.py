"""What IST learns from: losses with some adapters damped, and nothing left behind."""

from __future__ import annotations

import pytest
import torch
from peft import IA3Config, LoHaConfig, LoKrConfig, OFTConfig, get_peft_model

from irtuning.errors import ModelError
from irtuning.tuning.callback import LayerwiseCallback
from irtuning.tuning.damping import losses_under_damping
from irtuning.tuning.layers import find_layers
from tests.conftest import tiny_model, with_adapter
from tests.tuning.test_callback import trainer


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


@pytest.mark.parametrize("config", [
    IA3Config(task_type="SEQ_CLS", target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    OFTConfig(task_type="SEQ_CLS", target_modules=["q_proj"], oft_block_size=4),
])
def test_adapters_that_cannot_be_damped_are_refused_before_the_first_step(tmp_path, config):
    """peft's IA3 would fail at the first trial; OFT would only warn, and IST draw at random."""
    with pytest.raises(ModelError, match=r"scaled down.* LoRA"):
        trainer(tmp_path, [LayerwiseCallback("ist")], model=get_peft_model(tiny_model("llama"), config)).train()


@pytest.mark.parametrize("config", [
    LoHaConfig(task_type="SEQ_CLS", target_modules=["q_proj"], r=2), LoKrConfig(task_type="SEQ_CLS", target_modules=["q_proj"], r=2),
])
def test_pefts_other_adapters_with_a_factor_can_be(tmp_path, config):
    steps = []
    callback = LayerwiseCallback("ist", emit=steps.append)
    trainer(tmp_path, [callback], model=get_peft_model(tiny_model("llama"), config), max_steps=12).train()
    assert len(steps) == 12


def test_the_loss_of_a_batch_in_parts_is_that_of_the_whole():
    model = loud("lora")
    layers, inputs = find_layers(model), batch(6, 0)
    parts = [({key: value[rows] for key, value in inputs.items()}, torch.tensor(float(n))) for rows, n in
             ((slice(0, 4), 4), (slice(4, 6), 2))]
    whole = losses_under_damping(model, layers, [(0,), (3,)], [(inputs, torch.tensor(6.0))])
    assert losses_under_damping(model, layers, [(0,), (3,)], parts) == pytest.approx(whole, rel=1e-5)
