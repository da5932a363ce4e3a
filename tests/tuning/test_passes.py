"""Passes in few sizes where new ones are dear: training, evaluation and classifying keep to them, and what they give is the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irtuning.classify import Classifier
from irtuning.tuning import passes
from irtuning.tuning.batches import ANY, Grain
from irtuning.tuning.passes import Passes, passes_on
from irtuning.tuning.predicting import predict_logits
from irtuning.tuning.training import train
from tests.conftest import tiny_model, write_jsonl
from tests.tuning.test_trainer import rows
from tests.tuning.test_training import settings

LONGEST = 50
LABELS = ("clarity", "fluency")


@pytest.fixture
def sizes(monkeypatch):
    """(Rows, places) of every pass through a tiny Llama, in a set by whether it trains."""
    from transformers.models.llama import modeling_llama

    found: dict[bool, set[tuple[int, int]]] = {True: set(), False: set()}
    forward = modeling_llama.LlamaModel.forward

    def watched(self, input_ids=None, **kwargs):
        found[self.training].add(tuple(input_ids.shape))
        return forward(self, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(modeling_llama.LlamaModel, "forward", watched)
    return found


@pytest.fixture
def uneven(tmp_path_factory):
    """A corpus of rows of all lengths: 40 to train on, 36 to validate, 36 to test."""
    folder = tmp_path_factory.mktemp("uneven")
    for part, count in (("train", 40), ("validation", 36), ("test", 36)):
        pairs = []
        for i in range(count):
            before, after = (f"the {animal} sat " * (1 + i * 7 % 11) for animal in ("cat", "dog"))
            pairs.append({"before": before, "after": after, "label": LABELS[i % 2], "doc_id": f"{part}-{i}"})
        write_jsonl(folder / f"{part}.jsonl", pairs)
    return folder


def few_steps(model_dirs, corpus, dtype, **more):
    values = {"max_steps": 10, "max_length": LONGEST, "tuning_method": "full", "lora_dropout": 0.0, "dtype": dtype, **more}
    return settings(model_dirs, corpus, "llama", **values)


@pytest.mark.parametrize(
    ("device", "dtype", "grain"), [("cpu", "bfloat16", (4, 8)), ("cpu", "float32", (1, 1)), ("cuda", "bfloat16", (1, 1))]
)
def test_only_a_processor_in_bfloat16_wants_few_sizes(device, dtype, grain):
    assert passes_on(device, getattr(torch, dtype), 7).grain == Grain(*grain, longest=7)


def test_passes_wider_than_their_rows_cannot_leave_padding_out():
    with pytest.raises(ValueError, match="grain"):
        Passes(8, Grain(tokens=8), skip_padding=True)


def test_a_run_in_bfloat16_computes_few_sizes(tmp_path, model_dirs, uneven, sizes, monkeypatch):
    monkeypatch.setitem(passes.MEASURED, ("cpu", torch.bfloat16), Passes(8, Grain(4, 8), skip_padding=False))
    train(few_steps(model_dirs, uneven, "bfloat16"), lambda event: None, output_dir=tmp_path / "adapter")
    assert len(sizes[True]) > 3
    for found in sizes.values():
        assert all(width % 8 == 0 or width == LONGEST for _, width in found)
    assert {count for count, _ in sizes[True]} == {4, 8}
    # Of 36 rows a first pass has 32.
    assert {count for count, _ in sizes[False]} == {32, 4}


def test_the_same_run_in_float32_is_cut_as_costs_least(tmp_path, model_dirs, uneven, sizes, monkeypatch):
    monkeypatch.setitem(passes.MEASURED, ("cpu", torch.float32), Passes(8, ANY, skip_padding=True))
    train(few_steps(model_dirs, uneven, "float32"), lambda event: None, output_dir=tmp_path / "adapter")
    assert any(width % 8 and width != LONGEST for _, width in sizes[True])
    assert {count for count, _ in sizes[True]} - {4, 8}


def test_a_pair_that_is_classified_has_one_of_few_sizes(adapter, sizes, monkeypatch):
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setitem(passes.MEASURED, ("cpu", dtype), Passes(8, Grain(4, 8), skip_padding=False))
    classifier = Classifier(adapter, device="cpu")
    for words in range(1, 12):
        classifier.classify("the cat sat " * words, "the dog sat " * words)
    widths = {width for _, width in sizes[False]}
    assert len(widths) > 2
    assert all(width % 8 == 0 for width in widths)


def test_logits_do_not_depend_on_the_grain(monkeypatch):
    torch.manual_seed(0)
    model = tiny_model("llama")
    found = []
    for grain in (ANY, Grain(4, 8), Grain(5, 3)):
        monkeypatch.setitem(passes.MEASURED, ("cpu", torch.float32), Passes(1, grain, skip_padding=False))
        found.append(predict_logits(model, rows().rows, pad_token_id=0, dtype=torch.float32, longest=64))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


def test_a_training_step_does_not_depend_on_the_grain(tmp_path, model_dirs, uneven, monkeypatch):
    told = []
    for place, grain in enumerate((ANY, Grain(4, 8))):
        monkeypatch.setitem(passes.MEASURED, ("cpu", torch.float32), Passes(8, grain, skip_padding=False))
        events = []
        train(few_steps(model_dirs, uneven, "float32", max_steps=3), events.append, output_dir=tmp_path / str(place))
        told.append([event for event in events if event.kind == "step"])
    for ours, theirs in zip(*told, strict=True):
        assert ours.tokens == theirs.tokens
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
        assert ours.scores == pytest.approx(theirs.scores, rel=1e-3)
