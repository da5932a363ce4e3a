import pytest
import torch

from irtuning.errors import ModelError
from irtuning.tuning import layers as layers_module
from irtuning.tuning.layers import Snapshot, adapter_modules, find_layers, layer_adapters, layer_modules, train_only
from tests.conftest import FAMILIES, tiny_model, with_adapter


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_its_layers_found_by_structure(family):
    model = with_adapter(tiny_model(family))
    layers = find_layers(model)
    assert [layer.index for layer in layers] == [0, 1, 2, 3]
    assert all(layer.parameters for layer in layers)
    # q, k, v (one module or three), and up and down: every layer has both attention and MLP adapters
    assert len({name.rsplit(".lora_", 1)[0] for name, _ in layers[0].parameters}) >= 3
    assert all("lora_" in name for layer in layers for name, _ in layer.parameters)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_its_head_and_freezes_its_base(family):
    model = with_adapter(tiny_model(family))
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert any("modules_to_save" in name for name in trainable)
    assert all("lora_" in name or "modules_to_save" in name for name in trainable)


def test_train_only_freezes_the_others():
    model = with_adapter(tiny_model("llama"))
    layers = find_layers(model)
    train_only(layers, [1, 3])
    assert [all(p.requires_grad for _, p in layer.parameters) for layer in layers] == [False, True, False, True]
    train_only(layers, range(4))
    assert all(p.requires_grad for layer in layers for _, p in layer.parameters)


@pytest.mark.parametrize("adapter", ["lora", "dora", "bottleneck"])
def test_adapters_of_layers_are_found_whether_they_train_or_not(adapter):
    model = with_adapter(tiny_model("bert"), adapter)
    expected = adapter_modules(model, find_layers(model))
    assert all(expected)
    model.requires_grad_(False)
    assert layer_adapters(model) == expected


def test_a_snapshot_sees_a_single_bit():
    model = with_adapter(tiny_model("llama"))
    layers = find_layers(model)
    snapshot = Snapshot(layers)
    snapshot.take()
    assert snapshot.moved().tolist() == [False] * 4
    weight = layers[2].parameters[0][1]
    with torch.no_grad():
        weight.view(torch.int32)[0, 0] ^= 1
    assert snapshot.moved().tolist() == [False, False, True, False]


def test_the_sign_of_zero_is_a_bit_too():
    model = with_adapter(tiny_model("llama"))
    layers = find_layers(model)
    snapshot = Snapshot(layers)
    snapshot.take()
    b = next(p for name, p in layers[0].parameters if "lora_B" in name)  # zero at the start
    with torch.no_grad():
        b.neg_()
    assert snapshot.moved().tolist() == [True, False, False, False]


@pytest.mark.parametrize("differ", [layers_module._differ, layers_module._differ_at_once])
def test_both_ways_of_comparing_see_bits_and_not_values(differ):
    """A CPU compares in another way than a device that must not be waited for."""
    cpu = torch.device("cpu")
    copies = [torch.tensor([1.0, 0.0]), torch.tensor([[float("nan")]])]
    same = [tensor.clone() for tensor in copies]
    assert differ(same, copies, cpu).tolist() is False
    assert differ([torch.tensor([1.0, -0.0]), same[1]], copies, cpu).tolist() is True
    assert differ([same[0], torch.tensor([[3.0]])], copies, cpu).tolist() is True
    half = [torch.tensor([1.0], dtype=torch.bfloat16)]
    assert differ(half, [torch.tensor([1.0078125], dtype=torch.bfloat16)], cpu).tolist() is True
    assert differ([], [], cpu).tolist() is False


def test_a_model_without_layers_or_adapters_is_refused_in_a_sentence():
    bare = torch.nn.Linear(2, 2)
    bare.config = type("Config", (), {"num_hidden_layers": 3})()
    with pytest.raises(ModelError, match="No stack of layers"):
        layer_modules(bare)
    model = tiny_model("llama")
    model.requires_grad_(False)
    with pytest.raises(ModelError, match="trainable adapter"):
        find_layers(model)
