"""LayerwiseCallback in a plain transformers Trainer, on tiny random models."""

from __future__ import annotations

import math
import traceback
from collections import Counter

import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from irtuning.tuning import callback as callback_module
from irtuning.tuning.callback import LayerwiseCallback
from irtuning.tuning.layers import find_layers
from tests.conftest import tiny_model, with_adapter


def data(count: int = 32, seed: int = 0) -> list[dict]:
    chance = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        ids = torch.randint(4, 150, (8,), generator=chance)
        rows.append({"input_ids": ids.tolist(), "attention_mask": [1] * 8, "labels": int(ids[0]) % 3})
    return rows


def trainer(tmp_path, callbacks, *, family="llama", model=None, **arguments) -> Trainer:
    values = {
        "max_steps": 5,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "warmup_steps": 0,
        "max_grad_norm": 1.0,
        "save_strategy": "no",
        "logging_strategy": "no",
    }
    return Trainer(
        model=model if model is not None else with_adapter(tiny_model(family)),
        args=TrainingArguments(
            output_dir=str(tmp_path),
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            seed=3,
            **{**values, **arguments},
        ),
        train_dataset=data(),
        callbacks=callbacks,
    )


@pytest.mark.parametrize("family", ["llama", "bert", "gpt2", "modernbert"])
def test_frozen_layers_keep_their_bits_and_chosen_ones_move(tmp_path, family):
    steps, before = [], {}

    class Watch(TrainerCallback):
        def on_step_begin(self, args, state, control, model, **kwargs):
            before.clear()
            before.update({i: [p.detach().clone() for _, p in layer.parameters] for i, layer in enumerate(find.layers)})

        def on_step_end(self, args, state, control, model, **kwargs):
            now = {i: [p.detach() for _, p in layer.parameters] for i, layer in enumerate(find.layers)}
            moved = [i for i in now if any(not torch.equal(a, b) for a, b in zip(now[i], before[i], strict=True))]
            assert moved == steps[-1].selected == steps[-1].moved

    find = LayerwiseCallback("ir", emit=steps.append)
    trainer(tmp_path, [find, Watch()], family=family, max_steps=8).train()
    assert [s.step for s in steps] == list(range(1, 9))
    assert all(0 < len(s.selected) < 4 for s in steps)
    for s in steps:
        assert [i for i, score in enumerate(s.scores) if score is not None] == s.selected


def test_nothing_moves_while_the_warm_up_rate_is_zero(tmp_path):
    steps = []
    trainer(tmp_path, [LayerwiseCallback("full", emit=steps.append)], warmup_steps=4).train()
    assert steps[0].learning_rate == 0
    assert steps[0].moved == []
    assert steps[1].moved == [0, 1, 2, 3]


def test_scores_are_those_of_the_gradients_before_clipping(tmp_path):
    """By hand: the same batch through the same model, norms taken with autograd alone."""
    steps = []
    clip = 1e-4
    model = with_adapter(tiny_model("llama"))
    callback = LayerwiseCallback("full", emit=steps.append)
    seen = {}

    class Gradients(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model, **kwargs):
            # after ours: clipped by then
            seen["norm"] = math.sqrt(sum(float(p.grad.norm()) ** 2 for p in model.parameters() if p.grad is not None))

    run = trainer(tmp_path, [callback, Gradients()], model=model, max_steps=1, max_grad_norm=clip)
    batch = next(iter(run.get_train_dataloader()))
    model.train()
    model(**batch).loss.backward()
    expected = []
    for layer in find_layers(model):
        expected.append(math.sqrt(sum(math.sqrt(float(p.grad.norm())) for _, p in layer.parameters)))
    model.zero_grad()
    torch.manual_seed(3)
    run.train()
    assert steps[0].scores == pytest.approx(expected, rel=1e-5)
    assert seen["norm"] == pytest.approx(clip, rel=1e-3)
    assert run.args.max_grad_norm == clip


def test_clipping_is_given_back_and_adapters_are_thawed_at_the_end(tmp_path):
    run = trainer(tmp_path, [LayerwiseCallback("ir")], max_grad_norm=0.7)
    run.train()
    assert run.args.max_grad_norm == 0.7
    assert all(p.requires_grad for layer in find_layers(run.model) for _, p in layer.parameters)
    assert not run.model._forward_hooks


def test_the_accumulated_gradient_is_measured_once_and_equals_one_large_batch(tmp_path):
    whole, parts = [], []
    for steps, size, times in ((whole, 8, 1), (parts, 4, 2)):
        run = trainer(
            tmp_path,
            [LayerwiseCallback("full", emit=steps.append)],
            max_steps=2,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=times,
        )
        # This Trainer takes a model that accepts any keyword for one that averages over all accumulated batches itself.
        run.model_accepts_loss_kwargs = False
        run.train()
    assert len(parts) == 2
    assert parts[0].scores == pytest.approx(whole[0].scores, rel=1e-4)
    assert parts[0].loss == pytest.approx(whole[0].loss, rel=1e-5)
    assert parts[0].tokens == whole[0].tokens == 64


def test_one_transfer_a_step_inside_the_callback(tmp_path, monkeypatch):
    """Counts every way from a tensor to a Python number, and every move between devices, that our code makes."""
    counts: Counter[str] = Counter()
    names = (
        "item",
        "tolist",
        "cpu",
        "numpy",
        "to",
        "bool",
        "float",
        "__bool__",
        "__float__",
        "__int__",
        "__index__",
        "__array__",
        # Written or read by a list of places, which would have to reach the device first.
        "__setitem__",
        "__getitem__",
    )

    def counting(name, original):
        def wrapper(self, *args, **kwargs):
            if any(
                frame.filename.endswith("irtuning/tuning/callback.py") for frame in traceback.extract_stack(limit=12)
            ):
                counts[name] += 1
            return original(self, *args, **kwargs)

        return wrapper

    for name in names:
        monkeypatch.setattr(torch.Tensor, name, counting(name, getattr(torch.Tensor, name)))
    steps = []
    trainer(tmp_path, [LayerwiseCallback("ir", emit=steps.append)], max_steps=6).train()
    assert len(steps) == 6
    assert sum(counts.values()) == 6, counts
    assert counts["tolist"] == 6


@pytest.mark.parametrize(("options", "same"), [
    ({"gradient_checkpointing": True}, True), ({"bf16": True}, False), ({"max_grad_norm": 0.0}, False), ({"max_grad_norm": 1e-3}, False),
])
def test_it_works_beside_other_options(tmp_path, options, same):
    """What only computes again gives the same losses; half the numbers and another clipping do not."""
    steps, usual = [], []
    trainer(tmp_path, [LayerwiseCallback("ir", emit=usual.append)], max_grad_norm=0.05).train()
    trainer(tmp_path, [LayerwiseCallback("ir", emit=steps.append)], **{"max_grad_norm": 0.05, **options}).train()
    assert len(steps) == 5
    assert all(s.selected == s.moved for s in steps)
    assert ([s.loss for s in steps] == pytest.approx([s.loss for s in usual], rel=1e-6)) == same


@pytest.mark.parametrize("options", [{}, {"gradient_checkpointing": True}])
def test_nothing_below_the_lowest_trained_layer_is_differentiated(tmp_path, options):
    reached: list[int] = []
    model = with_adapter(tiny_model("llama"))
    layers = model.base_model.model.model.layers

    class Fixed(callback_module.Policy):
        def choose(self):
            return callback_module.Choice((2, 3))

        def observe(self, scores):
            assert scores[:2] == [None, None]

    class Hooks(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            reached.clear()

    for i, layer in enumerate(layers):
        layer.register_forward_hook(
            lambda module, args, output, i=i: (
                reached.append(i) if (output[0] if isinstance(output, tuple) else output).requires_grad else None
            )
        )
    trainer(tmp_path, [LayerwiseCallback(lambda n: Fixed()), Hooks()], model=model, max_steps=2, **options).train()
    # With checkpointing layers run twice; those that rest run once.
    assert sorted(set(reached)) == [2, 3]


def test_a_name_of_no_policy_is_refused():
    with pytest.raises(ValueError, match="ir, rst, ist, full"):
        LayerwiseCallback("random")
