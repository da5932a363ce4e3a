"""The fused product of LoRA gives what peft's own layers give, forwards and backwards."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from torch import nn

from irtuning.tuning.fused import FusedLora, fuse_lora


def _model(bias: bool = True, dropout: float = 0.0, **kwargs: object) -> nn.Module:
    torch.manual_seed(0)
    model = get_peft_model(
        nn.Sequential(nn.Linear(12, 20, bias=bias), nn.Tanh(), nn.Linear(20, 6, bias=bias)),
        LoraConfig(r=4, lora_alpha=8, lora_dropout=dropout, target_modules=["0", "2"], **kwargs),
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.3)
    return model


def _gradients(model: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor | None], torch.Tensor]:
    x = x.clone().requires_grad_()
    y = model(x)
    y.square().sum().backward()
    return y.detach(), {name: p.grad for name, p in model.named_parameters() if p.requires_grad}, x.grad


def _fused(model: nn.Module) -> nn.Module:
    twin = copy.deepcopy(model)
    fuse_lora(twin)
    assert sum(type(m) is FusedLora for m in twin.modules()) == 2
    return twin


@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients_are_those_of_peft(bias):
    model = _model(bias)
    x = torch.randn(3, 5, 12)
    for ours, theirs in zip(_gradients(_fused(model), x), _gradients(model, x), strict=True):
        if isinstance(ours, dict):
            assert ours.keys() == theirs.keys()
            for name in ours:
                torch.testing.assert_close(ours[name], theirs[name], atol=1e-4, rtol=1e-4)
        else:
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_resting_adapter_gets_no_gradient_and_passes_its_share_on():
    model = _model()
    twin = _fused(model)
    for m in (model, twin):
        for name, parameter in m.named_parameters():
            if ".2.lora" in name:
                parameter.requires_grad_(False)
    x = torch.randn(7, 12)
    _, ours, below = _gradients(twin, x)
    _, theirs, below_theirs = _gradients(model, x)
    assert ours.keys() == theirs.keys()
    torch.testing.assert_close(below, below_theirs, atol=1e-4, rtol=1e-4)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-4, rtol=1e-4)


def test_in_bfloat16_adapters_stay_float32_and_agree_within_its_precision():
    model = _model().to(torch.bfloat16)
    for name, parameter in model.named_parameters():
        if "lora" in name:
            parameter.data = parameter.data.float()
    twin = _fused(model)
    x = torch.randn(64, 12, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, y_theirs = twin(x), model(x)
    torch.testing.assert_close(y.float(), y_theirs.float(), atol=0.1, rtol=0.05)
    y.float().square().sum().backward()
    y_theirs.float().square().sum().backward()
    for (name, ours), theirs in zip(twin.named_parameters(), model.parameters(), strict=True):
        if ours.requires_grad:
            assert ours.grad.dtype == torch.float32, name
            torch.testing.assert_close(ours.grad, theirs.grad, atol=0.05 * float(theirs.grad.abs().max()), rtol=0.1)


def _calls(model: nn.Module, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> int:
    seen = []
    original = Linear.forward
    monkeypatch.setattr(Linear, "forward", lambda self, *a, **k: (seen.append(1), original(self, *a, **k))[1])
    model(x)
    return len(seen)


def test_what_it_cannot_do_is_left_to_peft(monkeypatch):
    x = torch.randn(2, 12)
    assert _calls(_fused(_model()), x, monkeypatch) == 0
    assert _calls(_fused(_model(dropout=0.5)).train(), x, monkeypatch) == 2
    assert _calls(_fused(_model(use_dora=True)), x, monkeypatch) == 2


def test_dropout_does_not_speak_against_it_outside_of_training(monkeypatch):
    assert _calls(_fused(_model(dropout=0.5)).eval(), torch.randn(2, 12), monkeypatch) == 0


def test_adapters_switched_off_or_merged_give_the_base_model():
    model = _model()
    twin = _fused(model)
    x = torch.randn(2, 12)
    with twin.disable_adapter(), model.disable_adapter():
        torch.testing.assert_close(twin(x), model(x))
    before = twin(x)
    twin.merge_adapter()
    torch.testing.assert_close(twin(x), before, atol=1e-5, rtol=1e-5)
