"""Passes in few sizes where new ones are dear: training, evaluation and classifying keep to them, and what they give is the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irtuning.tuning import passes, predicting
from irtuning.tuning.batches import ANY, Grain
from irtuning.tuning.passes import passes_on
from irtuning.tuning.predicting import predict_logits
from irtuning.tuning.training import train
from tests.conftest import tiny_model
from tests.tuning.test_trainer import rows
from tests.tuning.test_training import settings


@pytest.fixture
def sizes(monkeypatch):
    """(Rows, places) of every pass through the first layer of a tiny Llama, by whether it trains."""
    from transformers.models.llama import modeling_llama

    found: dict[bool, set[tuple[int, int]]] = {True: set(), False: set()}
    forward = modeling_llama.LlamaModel.forward

    def watched(self, input_ids=None, **kwargs):
        found[self.training].add(tuple(input_ids.shape))
        return forward(self, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(modeling_llama.LlamaModel, "forward", watched)
    return found


def few_steps(model_dirs, corpus_dir, dtype, max_steps=12):
    return settings(
        model_dirs, corpus_dir, "llama", max_steps=max_steps, batch_size=8, tuning_method="full", dtype=dtype, lora_dropout=0.0
    )


@pytest.mark.parametrize(
    ("device", "dtype", "grain"), [("cpu", "bfloat16", Grain(4, 8)), ("cpu", "float32", ANY), ("cuda", "bfloat16", ANY)]
)
def test_only_a_processor_in_bfloat16_wants_few_sizes(device, dtype, grain):
    assert passes_on(device, getattr(torch, dtype)).grain == grain


def test_a_run_in_bfloat16_computes_few_sizes(tmp_path, model_dirs, corpus_dir, sizes):
    train(few_steps(model_dirs, corpus_dir, "bfloat16"), lambda event: None, output_dir=tmp_path / "adapter")
    for training, found in sizes.items():
        longest = max(width for _, width in found)
        odd = {size for size in found if size[1] % 8 and size[1] != longest}
        assert not odd, training
    assert {count for count, _ in sizes[True]} <= {4, 8}
    # Of 12 batches at least 9 widths were met before.
    assert len(sizes[True]) < 9


def test_the_same_run_in_float32_is_cut_as_costs_least(tmp_path, model_dirs, corpus_dir, sizes):
    train(few_steps(model_dirs, corpus_dir, "float32"), lambda event: None, output_dir=tmp_path / "adapter")
    assert any(width % 8 for _, width in sizes[True])


def test_logits_do_not_depend_on_the_grain(monkeypatch):
    torch.manual_seed(0)
    model = tiny_model("llama")
    found = []
    for grain in (ANY, Grain(4, 8), Grain(5, 3)):
        monkeypatch.setattr(predicting, "passes_on", lambda device, dtype, grain=grain: passes.Passes(1, grain, skip_padding=False))
        found.append(predict_logits(model, rows().rows, pad_token_id=0, dtype=torch.float32))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


def test_a_training_step_does_not_depend_on_the_grain(tmp_path, model_dirs, corpus_dir, monkeypatch):
    told = []
    for place, grain in enumerate((ANY, Grain(4, 8))):
        monkeypatch.setitem(passes.MEASURED, ("cpu", torch.float32), passes.Passes(8, grain, skip_padding=True))
        events = []
        train(few_steps(model_dirs, corpus_dir, "float32", max_steps=3), events.append, output_dir=tmp_path / str(place))
        told.append([event for event in events if event.kind == "step"])
    for ours, theirs in zip(*told, strict=True):
        assert ours.tokens == theirs.tokens
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
        assert ours.scores == pytest.approx(theirs.scores, rel=1e-3)
