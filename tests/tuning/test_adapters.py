"""Saved adapters: plain peft loads them in four lines and gives our classifier's logits."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from irtuning.classify import Classifier
from irtuning.config import RunConfig
from irtuning.errors import AdapterError
from irtuning.tuning.adapters import add_adapter, load_adapter, restore_state, target_modules, trainable_state
from irtuning.tuning.training import train
from irtuning.tuning.weights import find_weights
from tests.conftest import tiny_model, with_adapter

PAIRS = [("He go home.", "He goes home."), ("", "A new line."), ("The cat sat on the mat.", "The cat sat.")]


@pytest.mark.parametrize("adapter", ["lora", "dora"])
def test_what_a_config_asks_of_an_adapter_reaches_it(adapter):
    asked = RunConfig(adapter_name=adapter, lora_r=3, lora_alpha=7.5, lora_dropout=0.25).resolve()
    model = add_adapter(tiny_model("llama"), asked)
    module = model.base_model.model.model.layers[1].self_attn.q_proj
    assert module.lora_A["default"].weight.shape == (3, 32)
    assert module.scaling == {"default": 2.5}
    assert module.lora_dropout["default"].p == 0.25
    assert bool(module.lora_magnitude_vector) == (adapter == "dora")


@pytest.mark.parametrize(
    "model", [pytest.param("minilm", marks=pytest.mark.slow), pytest.param("smollm2-135m", marks=pytest.mark.slow)]
)
def test_plain_peft_gives_the_logits_of_our_classifier(tmp_path, corpus_dir, model):
    config = RunConfig(
        model_name=model, dataset_name=str(corpus_dir), max_steps=2, batch_size=4, warmup_steps=0, dtype="float32",
        device="cpu", max_length=96,
    )  # fmt: skip
    train(config, output_dir=tmp_path / "adapter")
    ours = Classifier(tmp_path / "adapter", device="cpu")
    expected, _ = ours.logits(PAIRS)

    # As the card says, but with the weights of this machine in the hub id's place.
    base = AutoModelForSequenceClassification.from_pretrained(
        find_weights(model).source, num_labels=3, dtype=torch.float32
    )
    plain = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "adapter")
    plain.config.pad_token_id = tokenizer.pad_token_id
    for (before, after), row in zip(PAIRS, expected, strict=True):
        rendered = ours._encoding.render(before, after, lambda t: len(tokenizer(t)["input_ids"]), 3)
        inputs = tokenizer(rendered.text, rendered.text_pair, return_tensors="pt")
        with torch.no_grad():
            logits = plain(**inputs).logits[0].numpy()
        assert np.allclose(logits, row, atol=1e-4)


@pytest.mark.parametrize("adapter", ["lora", "dora", "bottleneck"])
def test_the_cards_lines_give_the_logits_of_our_classifier(tmp_path, model_dirs, corpus_dir, monkeypatch, adapter):
    sizes = {"bottleneck_width": 4} if adapter == "bottleneck" else {"lora_r": 2}
    config = RunConfig(
        model_name=str(model_dirs("llama")), dataset_name=str(corpus_dir), max_steps=3, batch_size=4, warmup_steps=0,
        device="cpu", max_length=64, learning_rate=0.02, dtype="float32", adapter_name=adapter, **sizes,
    )  # fmt: skip
    train(config, output_dir=tmp_path / "adapter")
    ours = Classifier(tmp_path / "adapter", device="cpu", base=model_dirs("llama"))
    expected, _ = ours.logits(PAIRS)
    card = (tmp_path / "adapter" / "README.md").read_text()
    code = re.search(r"^## Load it\n\n```python\n(.*?)^```$", card, flags=re.MULTILINE | re.DOTALL)[1]
    assert len(code.splitlines()) == 4
    monkeypatch.chdir(tmp_path / "adapter")
    made = {}
    # Many decoders name no padding.
    bare = shutil.copytree(model_dirs("llama"), tmp_path / "bare")
    config = json.loads((bare / "config.json").read_text())
    (bare / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))
    exec(code.replace('"tiny-llama"', repr(str(bare))), made)
    assert {"lora": "A LoRA", "dora": "A DoRA", "bottleneck": "A parallel bottleneck"}[adapter] + " adapter" in card
    tokenizer = AutoTokenizer.from_pretrained(".")
    texts = [ours._encoding.render(*pair, lambda t: len(tokenizer(t)["input_ids"]), 3).text for pair in PAIRS]
    with torch.no_grad():
        logits = made["model"](**tokenizer(texts, padding=True, return_tensors="pt")).logits.numpy()
    assert np.allclose(logits, expected, atol=1e-4)


def test_files_hold_adapters_and_head_alone(tmp_path, model_dirs, corpus_dir):
    config = RunConfig(
        model_name=str(model_dirs("llama")), dataset_name=str(corpus_dir), max_steps=1, batch_size=4, max_length=64
    )
    train(config, output_dir=tmp_path / "adapter")
    with safe_open(tmp_path / "adapter" / "adapter_model.safetensors", "pt") as file:
        names = list(file.keys())
        kinds = {file.get_tensor(name).dtype for name in names}
    assert all("lora_" in name or "score" in name for name in names)
    assert any("score" in name for name in names)
    assert kinds == {torch.float32}


def test_an_adapter_of_another_model_is_refused_in_a_sentence(tmp_path):
    with_adapter(tiny_model("llama")).save_pretrained(tmp_path / "a", save_embedding_layers=False)
    with pytest.raises(AdapterError, match="does not fit"):
        load_adapter(tiny_model("llama", labels=7), tmp_path / "a")
    with pytest.raises(AdapterError, match="no adapter in"):
        load_adapter(tiny_model("llama"), tmp_path)
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"half a file")
    with pytest.raises(AdapterError, match="damaged"):
        load_adapter(tiny_model("llama"), tmp_path / "a")


def test_state_goes_back_to_the_bit():
    model = with_adapter(tiny_model("bert"))
    state = trainable_state(model)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(1.0)
    restore_state(model, state)
    assert all(torch.equal(dict(model.named_parameters())[name], value) for name, value in state.items())


def test_the_paper_names_q_k_v_up_and_down():
    import re

    pattern = target_modules(tiny_model("llama"))
    names = [n for n, _ in tiny_model("llama").named_modules() if re.fullmatch(pattern, n)]
    assert {n.rsplit(".", 1)[1] for n in names} == {"q_proj", "k_proj", "v_proj", "up_proj", "down_proj"}
    bert = tiny_model("bert")
    chosen = [n for n, _ in bert.named_modules() if re.fullmatch(target_modules(bert), n)]
    assert not [n for n in chosen if "attention.output" in n]
    assert len(chosen) == 4 * 5
