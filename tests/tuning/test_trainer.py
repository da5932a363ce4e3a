"""What the Trainer does where the memory runs out: smaller parts, the same step, said once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from irtuning.config import RunConfig
from irtuning.tuning.arguments import arguments
from irtuning.tuning.batches import Rows
from irtuning.tuning.callback import LayerwiseCallback
from irtuning.tuning.device import choose_device
from irtuning.tuning.passes import passes_on
from irtuning.tuning.trainer import StepTrainer
from tests.conftest import tiny_model, with_adapter

ANYWHERE = passes_on("cpu", torch.float32, 256)


class Narrow(nn.Module):
    """Wraps a layer of a model: more than so many tokens at once are too much for its memory."""

    def __init__(self, inner: nn.Module, most: int) -> None:
        super().__init__()
        self.inner, self.most, self.refused = inner, most, 0

    def forward(self, x, *args, **kwargs):
        if x.shape[0] * x.shape[1] > self.most:
            self.refused += 1
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.")
        return self.inner(x, *args, **kwargs)


def rows(count: int = 12) -> Rows:
    return Rows(
        [
            {"input_ids": [2, *range(5, 5 + i % 6 + 2), 3], "attention_mask": [1] * (i % 6 + 4), "labels": i % 3}
            for i in range(count)
        ]
    )


def trained(most: int | None, *, importance: str = "gradient", per_device: int = 2, epochs_steps: int = 4):
    model = with_adapter(tiny_model("llama"))
    narrow = None
    if most:
        # In the last layer: losses of the parts before it were counted already.
        layer = model.base_model.model.model.layers[3]
        narrow = layer.mlp = Narrow(layer.mlp, most)
    said, steps = [], []
    config = RunConfig(
        model_name="minilm", batch_size=6, per_device_train_batch_size=per_device, max_steps=epochs_steps, device="cpu",
        dtype="float32", warmup_steps=0, learning_rate=1e-2,
    ).resolve()  # fmt: skip
    callback = LayerwiseCallback("ir", importance=importance, emit=steps.append)
    StepTrainer(
        model=model,
        args=arguments(config, choose_device("cpu", "float32"), epochs_steps),
        rows=rows(),
        pad_token_id=0,
        most_tokens=4096,
        passes=ANYWHERE,
        check=lambda: None,
        remember=callback.remember,
        rewind=callback.rewind,
        notify=said.append,
        callbacks=[callback],
    ).train()
    return steps, said, narrow


@pytest.mark.parametrize("importance", ["gradient", "cosine"])
@pytest.mark.parametrize("per_device", [2, 6])
def test_a_step_that_was_too_large_is_done_in_smaller_parts_and_is_the_same(importance, per_device):
    whole, nothing, _ = trained(None, importance=importance, per_device=per_device)
    parts, said, narrow = trained(10, importance=importance, per_device=per_device)
    assert nothing == []
    # Halved from what was too large, 54 tokens at most, and not from the cap.
    assert 0 < narrow.refused == len(said) <= 3
    assert "at most" in said[0]
    assert [s.selected for s in parts] == [s.selected for s in whole]
    assert [s.tokens for s in parts] == [s.tokens for s in whole]
    assert [s.loss for s in parts] == pytest.approx([s.loss for s in whole], abs=1e-5)
    for ours, theirs in zip(parts, whole, strict=True):
        known = [score for score in ours.scores if score is not None]
        assert [score is None for score in ours.scores] == [score is None for score in theirs.scores]
        assert known == pytest.approx([score for score in theirs.scores if score is not None], rel=1e-3)


@pytest.mark.parametrize("per_device", [2, 6])
def test_layers_are_tried_on_the_whole_batch_however_it_is_cut(per_device):
    """The importance after the trial: with the last part alone, of the shortest rows, it would be another."""
    found = []
    for tokens in (4096, 16):
        model = with_adapter(tiny_model("llama"))
        config = RunConfig(
            model_name="minilm", batch_size=6, per_device_train_batch_size=per_device, max_steps=12, device="cpu",
            dtype="float32", warmup_steps=0, learning_rate=1e-2,
        ).resolve()  # fmt: skip
        callback = LayerwiseCallback("ist")
        StepTrainer(
            model=model, args=arguments(config, choose_device("cpu", "float32"), 12), rows=rows(), pad_token_id=0,
            most_tokens=tokens, passes=ANYWHERE, check=lambda: None, callbacks=[callback],
        ).train()  # fmt: skip
        found.append(callback.policy.importance.tolist())
    assert any(found[0])
    assert found[1] == pytest.approx(found[0], rel=1e-3)


def test_one_row_that_is_too_large_ends_it():
    with pytest.raises(RuntimeError, match="allocate"):
        trained(3)


@pytest.mark.parametrize("importance", ["gradient", "cosine"])
def test_rows_of_a_short_batch_count_as_much_as_others_when_batches_are_accumulated(importance):
    """Five rows in batches of four and one: the step is that of one batch of five."""
    found = []
    for per_device in (8, 4):
        model = with_adapter(tiny_model("llama"))
        config = RunConfig(
            model_name="minilm", batch_size=8, per_device_train_batch_size=per_device, max_steps=2, device="cpu", dtype="float32",
            warmup_steps=0, tuning_method="full", importance_metric_name=importance,
        ).resolve()  # fmt: skip
        steps = []
        StepTrainer(
            model=model, args=arguments(config, choose_device("cpu", "float32"), 2), rows=rows(5), pad_token_id=0, most_tokens=4096,
            passes=ANYWHERE, check=lambda: None, callbacks=[LayerwiseCallback("full", importance=importance, emit=steps.append)],
        ).train()  # fmt: skip
        found.append(steps)
    for whole, parts in zip(*found, strict=True):
        assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
        assert parts.scores == pytest.approx(whole.scores, rel=1e-3)
        assert parts.tokens == whole.tokens
