"""What a layer's adapter is worth: by hand, and on trained adapters of tiny models."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from irtuning.classify import Classifier
from irtuning.config import RunConfig
from irtuning.errors import CorpusError
from irtuning.insight.ablation import ablate, corpus_again, cross_entropy, record
from irtuning.revisions.corpora import Revision, load_corpus
from irtuning.tuning.layers import layer_adapters
from irtuning.tuning.training import train
from tests.conftest import make_rows, write_jsonl

ROWS = [Revision("a", "b", "x", ""), Revision("a", "c", "y", "")]


class Made:
    """Two layers: without the first nothing is known, without the second all is wrong."""

    labels = ("x", "y")

    def logits_without_layers(self, pairs):
        assert pairs == [("a", "b"), ("a", "c")]
        whole = np.array([[3.0, 0.0], [0.0, 3.0]], dtype=np.float32)
        return whole, np.stack([np.zeros_like(whole), -whole])


def test_changes_are_told_against_nothing_off():
    ticks = iter([10.0, 12.5])
    found = ablate(Made(), ROWS, clock=lambda: next(ticks))
    right, wrong = np.log1p(np.exp(-3)), np.log1p(np.exp(3))
    assert (found.rows, found.macro_f1, found.seconds) == (2, 1.0, 2.5)
    assert found.loss == pytest.approx(right)
    assert found.loss_change == pytest.approx((np.log(2) - right, wrong - right))
    # All rows get the first label: F1 2/3 and 0; all wrong: 0 and 0
    assert found.macro_f1_change == pytest.approx((1 / 3 - 1, -1.0))


def test_cross_entropy_is_torchs():
    logits = np.random.default_rng(0).normal(size=(4, 7, 3)).astype(np.float32) * 40
    truth = np.array([0, 1, 2, 0, 1, 2, 1])
    for part, found in zip(logits, cross_entropy(logits, truth), strict=True):
        assert found == pytest.approx(float(torch.nn.functional.cross_entropy(torch.tensor(part).double(), torch.tensor(truth))))


def test_a_record_is_strict_json_and_says_where_nothing_is_known():
    found = ablate(Made(), ROWS)
    odd = type(found)(2, float("nan"), 0.5, (float("inf"), 0.1), (0.0, -0.1), 1.0)
    told = record("r", "c", odd, [0.5])
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["loss"], told["subset"]) == (None, "validation")
    assert told["layers"][0] == {"layer": 0, "loss_change": None, "macro_f1_change": 0.0, "trained_share": None}
    assert record("r", "c", found, [0.5, 0.25])["layers"][1]["trained_share"] == 0.25


def test_rows_that_the_adapter_cannot_know_are_refused():
    with pytest.raises(CorpusError, match="does not know the label 'z'"):
        ablate(Made(), [*ROWS, Revision("a", "d", "z", "")])
    with pytest.raises(CorpusError, match="no revision"):
        ablate(Made(), [])


@pytest.fixture(scope="module", params=["lora", "dora", "bottleneck"])
def classifier(request, tmp_path_factory, model_dirs, corpus_dir):
    """Trained with a rate that moves every adapter far from nothing."""
    folder = tmp_path_factory.mktemp(request.param)
    config = RunConfig(
        model_name=str(model_dirs("llama")), dataset_name=str(corpus_dir), adapter_name=request.param, max_steps=6,
        batch_size=8, max_length=64, learning_rate=0.05, warmup_steps=0, tuning_method="full", device="cpu", dtype="float32",
    )  # fmt: skip
    train(config, output_dir=folder / "adapter")
    return Classifier(folder / "adapter", device="cpu", base=model_dirs("llama"))


def everything(classifier):
    model = classifier._model
    return (
        {name: value.clone() for name, value in model.state_dict().items()},
        {name: (p.requires_grad, p.dtype) for name, p in model.named_parameters()},
        {name: module.training for name, module in model.named_modules()},
        [(m.disable_adapters, m.active_adapters, dict(m.scaling)) for layer in layer_adapters(model) for m in layer],
    )


def test_a_trained_adapter_is_ablated_and_the_same_afterwards_to_the_bit(classifier, corpus_dir):
    rows = load_corpus(str(corpus_dir)).validation
    pairs = [(r.before, r.after) for r in rows]
    before, (logits, _) = everything(classifier), classifier.logits(pairs)
    found = ablate(classifier, rows)
    again = ablate(classifier, rows)
    after, (logits_after, _) = everything(classifier), classifier.logits(pairs)
    assert np.array_equal(logits, logits_after)
    assert all(torch.equal(before[0][name].view(torch.uint8), value.view(torch.uint8)) for name, value in after[0].items())
    assert before[1:] == after[1:]
    assert (found.rows, len(found.loss_change), len(found.macro_f1_change)) == (24, 4, 4)
    assert all(change != 0 for change in found.loss_change)
    assert len(set(found.loss_change)) == 4
    assert found.seconds > 0
    assert {**found.to_dict(), "seconds": 0} == {**again.to_dict(), "seconds": 0}
    assert found.loss == pytest.approx(float(cross_entropy(logits, np.array([classifier.labels.index(r.label) for r in rows]))))


def test_off_is_what_the_model_gives_with_the_adapters_weights_taken_out(classifier, corpus_dir):
    """A layer is off as if it had never been adapted: its up projections, and DoRA's magnitudes, as they were at the start."""
    pairs = [(r.before, r.after) for r in load_corpus(str(corpus_dir)).validation]
    _, without = classifier.logits_without_layers(pairs)
    parameters = {n: p for n, p in classifier._model.named_parameters() if ".layers.2." in n}
    kept = {name: p.detach().clone() for name, p in parameters.items()}
    with torch.no_grad():
        for name, p in parameters.items():
            if "lora_B" in name or "bottleneck_up" in name:
                p.zero_()
            elif "magnitude" in name:
                p.copy_(parameters[name.split("lora_magnitude")[0] + "base_layer.weight"].norm(dim=1))
    try:
        expected, _ = classifier.logits(pairs)
    finally:
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(kept[name])
    assert np.allclose(without[2], expected, atol=1e-5)
    assert not np.allclose(without[1], expected, atol=1e-3)


def test_a_corpus_is_read_again_only_as_it_was(tmp_path, corpus_dir):
    folder = tmp_path / "texts"
    shutil.copytree(corpus_dir, folder)
    config, fingerprint = RunConfig(dataset_name=str(folder)), load_corpus(str(folder)).fingerprint
    assert len(corpus_again(config, fingerprint).validation) == 24
    write_jsonl(folder / "validation.jsonl", make_rows(9))
    with pytest.raises(CorpusError, match="'texts' has changed since"):
        corpus_again(config, fingerprint)
    (folder / "test.jsonl").unlink()
    with pytest.raises(CorpusError, match="'texts' that the run was trained on cannot be read any more"):
        corpus_again(config, fingerprint)
    shutil.rmtree(folder)
    with pytest.raises(CorpusError, match="'texts' that the run was trained on is not there any more") as caught:
        corpus_again(config, fingerprint)
    assert str(tmp_path) not in str(caught.value)
