"""The cache of what resting layers give: the same numbers with fewer layers run, in every family."""

from __future__ import annotations

import shutil

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import TrainerState, TrainingArguments

from irtuning.events import RunStarted, Step
from irtuning.tuning import fitting
from irtuning.tuning.batches import ANY, Grain, collate
from irtuning.tuning.dropping import drops
from irtuning.tuning.layers import find_layers, layer_modules, train_only
from irtuning.tuning.prefix import DRAWS, PrefixCache
from irtuning.tuning.training import train
from tests.conftest import FAMILIES, tiny_model, with_adapter
from tests.tuning.test_training import settings

ROWS = [
    {"input_ids": [2, *range(5, 5 + n), 3], "attention_mask": [1] * (n + 2), "labels": n % 3} for n in (3, 7, 5, 2)
]


def still(model):
    """The model without any dropout, whatever its family calls it."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "attention_dropout", "attn_dropout", "activation_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model.train()


def counted(model):
    _, layers = layer_modules(model)
    calls = [0] * len(layers)

    def count(i):
        def hook(*args):
            calls[i] += 1

        return hook

    # Inside the layer: its own call happens whether or not its work is skipped.
    for i, layer in enumerate(layers):
        next(m for m in layer.modules() if isinstance(m, BaseTunerLayer)).register_forward_hook(count(i))
    return calls


def gradients(model):
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("family", "grain"), [*((family, ANY) for family in FAMILIES), ("llama", Grain(3, 16)), ("bert", Grain(4, 16))]
)
def test_cached_rows_give_the_same_loss_and_gradients_without_the_lower_layers(family, grain):
    model = with_adapter(tiny_model(family))
    cache = PrefixCache(model, patience=1, grain=grain)
    still(model)
    calls = counted(model)
    train_only(find_layers(model), [2, 3])

    def passed(places):
        rows = [ROWS[i] for i in places]
        model.zero_grad()
        before = list(calls)
        with cache.around(places, [len(r["input_ids"]) for r in rows]):
            loss = model(**collate(rows, 0, grain)).loss
            loss.backward()
        return loss.detach(), gradients(model), [b > a for a, b in zip(before, calls, strict=True)]

    plain, expected, ran = passed([0, 1, 2, 3])
    cache.take_choice(2)
    assert cache.cut == 2
    passed([0, 2])
    # Two rows are kept and two are not; then all are.
    for hits, runs_below in ((0, True), (1, False)):
        loss, found, ran = passed([0, 1, 2, 3])
        assert cache.hits == hits
        assert ran == [runs_below, runs_below, True, True]
        torch.testing.assert_close(loss, plain, atol=1e-5, rtol=1e-4)
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3)
    assert all("forward" not in vars(layer) for layer in layer_modules(model)[1])


def test_rows_that_are_computed_alone_come_in_the_sizes_of_a_grain():
    model = still(with_adapter(tiny_model("llama")))
    cache = PrefixCache(model, patience=1, grain=Grain(rows=3, tokens=4))
    cache.take_choice(2)
    sizes = []
    layer_modules(model)[1][0].register_forward_pre_hook(lambda layer, args: sizes.append(tuple(args[0].shape[:2])))
    lengths = [len(row["input_ids"]) for row in ROWS]
    for places in ([3, 0], [0, 1, 2, 3]):
        with cache.around(places, [lengths[i] for i in places]):
            model(**collate([ROWS[i] for i in places], 0, Grain(tokens=4)))
    # After a look, two rows of 4 and 5 tokens; then two of 9 and 7 are missing, and a third comes along. The second of each is the
    # pass itself.
    assert sizes == [(1, 2), (2, 8), (2, 8), (3, 12), (4, 12)]


def test_the_cut_waits_and_falls_when_a_lower_layer_trains():
    model = with_adapter(tiny_model("llama"))
    cache = PrefixCache(model, patience=3)
    for lowest, cut in ((2, 0), (3, 0), (2, 2), (3, 2), (1, 1), (2, 1), (0, 0), (2, 0)):
        cache.take_choice(lowest)
        assert cache.cut == cut, lowest
    assert not layer_modules(model)[1][2]._forward_pre_hooks


def test_rows_beyond_the_limit_are_computed_anew():
    model = still(with_adapter(tiny_model("llama")))
    cache = PrefixCache(model, patience=1, limit_mib=0)
    cache.take_choice(2)
    for _ in range(2):
        with cache.around([0, 1], [5, 9]):
            model(**collate(ROWS[:2], 0))
    assert cache.hits == 0


def test_a_row_is_given_room_for_all_its_draws_or_none():
    """Half of every row would fill the room and spare nothing."""
    model = with_adapter(tiny_model("bert")).train()
    cache = PrefixCache(model, patience=1)
    cache.take_choice(2)
    # Of 32 numbers of four bytes: two draws of the row of five tokens, and no two of that of nine.
    cache._limit = 14 * 32 * 4
    for _ in range(DRAWS + 2):
        with cache.around([0, 1], [5, 9]):
            model(**collate(ROWS[:2], 0))
    assert cache.hits == 0
    with cache.around([0], [5]):
        model(**collate(ROWS[:1], 0))
    assert cache.hits == 1


def test_evaluation_runs_the_whole_network():
    model = still(with_adapter(tiny_model("llama")))
    cache = PrefixCache(model, patience=1)
    cache.take_choice(2)
    with cache.around([0], [5]):
        model(**collate(ROWS[:1], 0))
    calls = counted(model)
    model.eval()
    model(**collate(ROWS[1:2], 0))
    assert all(calls)


def passes(model, cache, count):
    """Losses of so many passes over two rows in training, and after each how many skipped the layers below the cut."""
    losses, hits = [], []
    for _ in range(count):
        with cache.around([0, 1], [5, 9]):
            loss = model(**collate(ROWS[:2], 0)).loss
            loss.backward()
            losses.append(loss.item())
        hits.append(cache.hits)
    return losses, hits


@pytest.mark.parametrize("checkpointing", [False, True])
def test_where_units_are_dropped_below_the_cut_a_row_has_several_states(checkpointing):
    model = with_adapter(tiny_model("bert")).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    cache = PrefixCache(model, patience=1)
    train_only(find_layers(model), [2, 3])
    cache.take_choice(2)
    # Nothing is dropped from the cut on: losses differ by what came from below alone.
    for layer in layer_modules(model)[1][2:]:
        still(layer)
    for name, module in model.named_modules():
        if name.endswith(("pooler", "dropout")) and "encoder" not in name and "embeddings" not in name:
            still(module)
    losses, hits = passes(model, cache, DRAWS + 20)
    assert hits == [0] * DRAWS + list(range(1, 21))
    # Each row takes any of its states: with two states a row, 20 passes see more than one and no other.
    assert len(set(losses[:DRAWS])) == DRAWS
    assert 1 < len(set(losses[DRAWS:])) <= DRAWS**2


def test_a_model_that_drops_nothing_below_the_cut_keeps_one_state_a_row():
    model = with_adapter(tiny_model("llama")).train()
    cache = PrefixCache(model, patience=1)
    cache.take_choice(2)
    losses, hits = passes(model, cache, 4)
    assert hits == [0, 1, 2, 3]
    assert len(set(losses)) == 1


@pytest.mark.parametrize(("family", "dropped"), [("bert", True), ("distilbert", True), ("deberta-v2", True), ("llama", False)])
def test_what_drops_units_is_found_in_every_family(family, dropped):
    assert drops(tiny_model(family).modules()) is dropped
    assert not drops(still(tiny_model(family)).modules())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_run_with_kept_states_learns_what_one_without_learns(tmp_path, model_dirs, corpus_dir, checkpointing):
    seen = {}
    for kept in (False, True):
        steps = []
        config = settings(
            model_dirs, corpus_dir, "llama", tuning_method="fixed", layers="2-3", cache_prefix=kept, max_steps=30,
            gradient_checkpointing=checkpointing,
        )  # fmt: skip
        result = train(config, steps.append, output_dir=tmp_path / str(kept))
        seen[kept] = [e.loss for e in steps if isinstance(e, Step)]
        assert result.probabilities.shape == (24, 3)
        assert any(isinstance(e, RunStarted) for e in steps)
    assert len(seen[True]) == 30
    assert seen[True] == pytest.approx(seen[False], abs=2e-4)


@pytest.mark.parametrize(
    ("choice", "least"),
    [
        ({"tuning_method": "fixed", "layers": "2-3"}, 12),
        # The eight rows of the first step come again in eight batches at most.
        ({"budget": 0.67, "settle_after": 0.04}, 4),
    ],
)
def test_where_the_choice_stays_states_are_kept_at_once(tmp_path, monkeypatch, model_dirs, corpus_dir, choice, least):
    made = []

    class Seen(PrefixCache):
        def __init__(self, *args, **more):
            super().__init__(*args, **more)
            made.append(self)

    monkeypatch.setattr(fitting, "PrefixCache", Seen)
    config = settings(model_dirs, corpus_dir, "llama", cache_prefix=True, max_steps=24, **choice)
    train(config, lambda event: None, output_dir=tmp_path / "adapter")
    # Two passes over 96 rows in batches of 8.
    assert made[0].hits >= least


def saved(cache, folder, step, arguments):
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True, exist_ok=True)
    cache.on_save(arguments, TrainerState(global_step=step), None)
    return sorted(path.name for path in (folder / "prefix").glob("*"))


def test_states_of_a_cut_that_is_gone_are_deleted_once_no_checkpoint_needs_them(tmp_path):
    model = still(with_adapter(tiny_model("llama")))
    cache, arguments = PrefixCache(model, patience=1), TrainingArguments(str(tmp_path), use_cpu=True)

    def a_step(number, lowest):
        cache.on_step_begin(arguments, TrainerState(global_step=number - 1), None)
        cache.take_choice(lowest)
        with cache.around([0, 1], [5, 9]):
            model(**collate(ROWS[:2], 0))

    a_step(1, 2)
    assert saved(cache, tmp_path, 1, arguments) == ["0-1.safetensors"]
    a_step(2, 0)
    a_step(3, 3)
    # The first checkpoint would still take the first cut up.
    assert saved(cache, tmp_path, 3, arguments) == ["0-1.safetensors", "0-3.safetensors"]
    shutil.rmtree(tmp_path / "checkpoint-1")
    a_step(4, 3)
    assert saved(cache, tmp_path, 4, arguments) == ["0-3.safetensors"]


def test_kept_states_that_are_damaged_are_computed_anew(tmp_path, caplog):
    model = still(with_adapter(tiny_model("llama")))
    cache, arguments = PrefixCache(model, patience=1), TrainingArguments(str(tmp_path), use_cpu=True)
    cache.take_choice(2)
    with cache.around([0, 1], [5, 9]):
        model(**collate(ROWS[:2], 0))
    saved(cache, tmp_path, 1, arguments)
    cache.remove()
    shard = tmp_path / "prefix" / "0-1.safetensors"
    shard.write_bytes(shard.read_bytes()[:100])
    again = PrefixCache(model, patience=1)
    again.on_train_begin(arguments, TrainerState(global_step=1), None)
    assert again.cut == 2
    assert "damaged" in caplog.text
    assert passes(model, again, 2)[1] == [0, 1]
