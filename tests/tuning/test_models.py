"""How a model is loaded: attention in the way that is fast where it runs, with the same numbers."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from irtuning.errors import ModelError
from irtuning.tuning.models import attention, load_model, load_tokenizer, longest_input
from irtuning.tuning.weights import find_weights
from tests.conftest import FAMILIES, tiny_model, tiny_tokenizer

CPU = torch.device("cpu")


def loaded(folder, dtype):
    weights = find_weights(str(folder))
    return load_model(weights, load_tokenizer(weights), ["a", "b", "c"], dtype=dtype, device=CPU, seed=1)


@pytest.mark.parametrize(
    ("dtype", "device", "asked"),
    [
        (torch.bfloat16, "cpu", {"attn_implementation": "eager"}),
        (torch.float32, "cpu", {}),
        (torch.bfloat16, "cuda", {}),
        (torch.float16, "mps", {}),
    ],
)
def test_plain_products_on_a_cpu_in_bfloat16_alone(dtype, device, asked):
    assert attention(dtype, torch.device(device)) == asked


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_gives_the_same_either_way(family, model_dirs):
    tokens = {
        "input_ids": torch.tensor([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
    }
    half, full = loaded(model_dirs(family), torch.bfloat16), loaded(model_dirs(family), torch.float32)
    assert half.config._attn_implementation == "eager"
    with torch.no_grad():
        torch.testing.assert_close(half(**tokens).logits.float(), full(**tokens).logits, atol=0.03, rtol=0.03)


def test_positions_behind_the_paddings_number_are_none_to_read_at(model_dirs):
    assert longest_input(tiny_model("roberta")) == 299
    assert longest_input(tiny_model("bert")) == 256
    assert longest_input(tiny_model("llama")) == 256
    assert longest_input(tiny_model("gemma3")) == 256


@pytest.fixture
def folder(tmp_path):
    """A tiny model whose tokenizer, as those of several large models, names no padding."""
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    tiny_model("llama").save_pretrained(tmp_path)
    return tmp_path


def test_a_tokenizer_without_padding_pads_with_its_end_and_the_model_is_told(folder):
    tokenizer = load_tokenizer(find_weights(str(folder)))
    assert (tokenizer.pad_token, tokenizer.padding_side) == ("</s>", "right")
    assert loaded(folder, torch.float32).config.pad_token_id == tokenizer.eos_token_id == 3


def test_weights_that_are_cut_short_are_one_sentence(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ModelError, match="cannot be loaded for classification") as caught:
        loaded(folder, torch.float32)
    assert "\n" not in str(caught.value)


def test_a_head_for_other_labels_gives_way_to_a_fresh_one(tmp_path):
    """A base that somebody has made a classifier of, even one of several labels at once."""
    model = tiny_model("bert", labels=5)
    model.config.problem_type = "multi_label_classification"
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    found = loaded(tmp_path, torch.float32)
    assert found.classifier.weight.shape == (3, 32)
    assert found.config.problem_type == "single_label_classification"
    assert torch.equal(found.bert.embeddings.word_embeddings.weight, model.bert.embeddings.word_embeddings.weight)


def test_weights_that_are_not_those_of_the_config_are_refused(tmp_path):
    tiny_model("bert").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 96}))
    with pytest.raises(ModelError, match="not those that its config tells of"):
        loaded(tmp_path, torch.float32)


def test_weights_under_other_names_are_refused_and_not_left_at_random(tmp_path):
    tiny_model("bert").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    kept = load_file(path)
    save_file({name: value for name, value in kept.items() if "pooler" not in name and "classifier" not in name}, path)
    loaded(tmp_path, torch.float32)
    save_file({f"wrapped.{name}": value for name, value in kept.items()}, path)
    with pytest.raises(ModelError, match="not those that its config tells of"):
        loaded(tmp_path, torch.float32)
