"""How a model is loaded: attention in the way that is fast where it runs, with the same numbers."""

from __future__ import annotations

import pytest
import torch

from irtuning.tuning.models import attention, load_model, load_tokenizer, longest_input
from irtuning.tuning.weights import find_weights
from tests.conftest import FAMILIES, tiny_model

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
