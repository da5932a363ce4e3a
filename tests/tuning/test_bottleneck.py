"""The bottleneck as a method of peft's: it saves, loads, switches off and reports its layers like any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import PeftModel, get_layer_status, get_model_status
from peft.utils.peft_types import PeftType

from irtuning.classify import Classifier
from irtuning.config import RunConfig
from irtuning.errors import ModelError
from irtuning.revisions.corpora import load_corpus
from irtuning.tuning.bottleneck import BottleneckConfig, BottleneckLayer
from irtuning.tuning.training import train
from tests.conftest import tiny_model, with_adapter

INPUTS = {"input_ids": torch.tensor([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]]), "attention_mask": torch.tensor([[1] * 5, [1, 1, 1, 0, 0]])}


def stirred(model):
    """The adapters with random weights in them: fresh ones add nothing."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bottleneck_" in name:
                parameter.normal_(std=0.3)
    return model.eval()


def test_its_product_by_hand():
    base = torch.nn.Linear(2, 1, bias=False)
    layer = BottleneckLayer(base, "default", BottleneckConfig(width=1, scaling=0.5))
    with torch.no_grad():
        base.weight.copy_(torch.tensor([[1.0, 2.0]]))
        layer.bottleneck_down["default"].weight.copy_(torch.tensor([[0.5, -1.0]]))
        layer.bottleneck_down["default"].bias.fill_(0.25)
        layer.bottleneck_up["default"].weight.fill_(3.0)
        layer.bottleneck_up["default"].bias.fill_(0.1)
    x = torch.tensor([[2.0, 1.0]])
    # base 4; down 1 - 1 + 0.25 = 0.25; up 3 tanh(0.25) + 0.1, half of it added.
    assert layer(x).item() == pytest.approx(4 + 0.5 * (3 * np.tanh(0.25) + 0.1))


@pytest.mark.parametrize("family", ["llama", "bert", "gpt2", "deberta-v2"])
def test_fresh_it_changes_nothing_and_switched_off_neither(family):
    plain = tiny_model(family).eval()
    with torch.no_grad():
        expected = plain(**INPUTS).logits
        model = with_adapter(plain, "bottleneck").eval()
        torch.testing.assert_close(model(**INPUTS).logits, expected)
        stirred(model)
        assert (model(**INPUTS).logits - expected).abs().max() > 1e-3
        with model.disable_adapter():
            torch.testing.assert_close(model(**INPUTS).logits, expected)


def test_peft_saves_and_loads_it_and_tells_its_layers(tmp_path):
    model = stirred(with_adapter(tiny_model("llama"), "bottleneck"))
    assert get_model_status(model).adapter_model_type == "BottleneckModel"
    status = get_layer_status(model)
    # Five modules in each of four layers, and the head, which is saved with them.
    assert sum(s.module_type == "BottleneckLayer" for s in status) == 4 * 5
    assert len(status) == 4 * 5 + 1
    assert {(s.enabled, tuple(s.active_adapters), s.requires_grad["default"]) for s in status} == {(True, ("default",), True)}
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    loaded = PeftModel.from_pretrained(tiny_model("llama"), tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(**INPUTS).logits, model(**INPUTS).logits)
    assert loaded.peft_config["default"].peft_type == PeftType("BOTTLENECK")


def test_it_cannot_be_merged():
    with pytest.raises(ModelError, match="cannot be merged"):
        with_adapter(tiny_model("llama"), "bottleneck").merge_and_unload()


@pytest.mark.parametrize("adapter", ["dora", "bottleneck"])
def test_a_trained_one_classifies_as_it_was_scored(tmp_path, model_dirs, corpus_dir, adapter):
    sizes = {"bottleneck_width": 8} if adapter == "bottleneck" else {"lora_r": 4}
    config = RunConfig(
        model_name=str(model_dirs("bert")), dataset_name=str(corpus_dir), adapter_name=adapter, max_steps=4, batch_size=8,
        max_length=64, warmup_steps=0, **sizes,
    )  # fmt: skip
    result = train(config, output_dir=tmp_path / "adapter")
    pairs = [(r.before, r.after) for r in load_corpus(str(corpus_dir)).test]
    answers = Classifier(tmp_path / "adapter", device="cpu", base=model_dirs("bert")).classify_many(pairs)
    found = np.array([[a["probabilities"][label] for label in result.labels] for a in answers])
    np.testing.assert_allclose(found, result.probabilities, atol=1e-4)
