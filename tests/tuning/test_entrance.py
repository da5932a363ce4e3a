"""What feeds the layers of each family: found without a trace, resting and working again."""

from __future__ import annotations

import pytest
import torch

from irtuning.tuning.batches import collate
from irtuning.tuning.entrance import Entrance
from irtuning.tuning.layers import layer_modules
from irtuning.tuning.prefix import PrefixCache
from tests.conftest import FAMILIES, tiny_model, with_adapter
from tests.tuning.test_prefix import ROWS, still

ADDED = {"opt"}
"""Families that add places to what their embeddings give, so that neither enters the layers as it is."""


def parts(family):
    model = tiny_model(family)
    body = getattr(model, model.base_model_prefix)
    return body, layer_modules(model)[1]


def stack_input(body, layers):
    seen = []
    hook = layers[0].register_forward_pre_hook(lambda m, a, k: seen.append(a[0] if a else k["hidden_states"]), with_kwargs=True)
    batch = collate(ROWS, 0)
    body(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_what_feeds_the_stack_is_found_rests_and_works_again(family):
    body, layers = parts(family)
    body.eval()
    entrance = Entrance(body, layers)
    before = stack_input(body, layers)
    entrance.look()
    entrance.rest(len(ROWS))
    resting = stack_input(body, layers)
    assert resting.shape == before.shape
    assert resting.dtype == before.dtype
    assert (not resting.any()) == (family not in ADDED)
    entrance.work()
    assert torch.equal(stack_input(body, layers), before)
    assert all("forward" not in vars(module) for module in body.modules())


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_look_draws_nothing_at_random_and_is_taken_once(family):
    body, layers = parts(family)
    body.train()
    calls = []
    layers[0].register_forward_pre_hook(lambda *args: calls.append(1))
    entrance = Entrance(body, layers)
    state = torch.get_rng_state()
    entrance.look()
    entrance.look()
    assert torch.equal(torch.get_rng_state(), state)
    assert calls == [1]
    assert not layers[1]._forward_pre_hooks


@pytest.mark.parametrize(("family", "name"), [("bert", "word_embeddings"), ("llama", "embed_tokens")])
def test_a_pass_whose_states_are_all_kept_looks_up_no_word(family, name):
    model = still(with_adapter(tiny_model(family)))
    cache = PrefixCache(model, patience=1)
    cache.take_choice(2)
    looked = []
    (table,) = (module for path, module in model.named_modules() if path.endswith(name))
    # A module that rests is called all the same, and gives zeros.
    table.register_forward_hook(lambda module, args, output: looked.append(bool(output.any())))
    for hits in (0, 1):
        looked.clear()
        with cache.around([0, 1], [len(row["input_ids"]) for row in ROWS[:2]]):
            model(**collate(ROWS[:2], 0))
        assert cache.hits == hits
        assert any(looked) == (not hits)
