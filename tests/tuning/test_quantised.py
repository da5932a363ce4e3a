"""Frozen models in 8 and 4 bit. What needs bitsandbytes is skipped where it is not installed; the rest runs everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from irtuning.classify import Classifier, evaluate
from irtuning.config import RunConfig, parse_config
from irtuning.errors import ConfigError, ModelError
from irtuning.revisions.corpora import Columns
from irtuning.tuning import quantised
from irtuning.tuning.adapters import add_adapter
from irtuning.tuning.card import read_origin
from irtuning.tuning.importance import weight_scores
from irtuning.tuning.layers import find_layers, frozen_norms, layer_modules
from irtuning.tuning.models import load_model, load_tokenizer
from irtuning.tuning.training import train
from irtuning.tuning.weights import find_weights
from tests.conftest import FAMILIES, tiny_tokenizer

BITS = ("8bit", "4bit")
CPU = torch.device("cpu")
WIDER = {"32": 64, "64": 128}


def settings(wide_dirs, corpus_dir, bits, family="llama", **more) -> RunConfig:
    sizes = {"bottleneck_width": 4} if more.get("adapter_name") == "bottleneck" else {"lora_r": 4}
    return RunConfig(
        **{
            "model_name": str(wide_dirs(family)), "dataset_name": str(corpus_dir), "batch_size": 8, "max_steps": 6,
            "learning_rate": 5e-3, "warmup_steps": 1, "max_length": 64, "device": "cpu", "seed": 5,
            **({f"load_{bits}": True} if bits else {}), **sizes, **more,
        }
    )  # fmt: skip


def record(config, out, **more):
    events = []
    return train(config, events.append, output_dir=out, **more), events


def loaded(wide_dirs, bits, family="llama", dtype=torch.float32):
    weights = find_weights(str(wide_dirs(family)))
    return load_model(
        weights, load_tokenizer(weights), ["a", "b", "c"], dtype=dtype, device=CPU, seed=3, bits=bits
    )  # fmt: skip


@pytest.fixture(scope="session")
def wide_dirs(tmp_path_factory):
    """As `model_dirs`, with models 64 wide: 4 bit on a CPU needs multiples of that."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    made = {}

    def folder(family):
        if family not in made:
            torch.manual_seed(0)
            values = {name: WIDER.get(str(value), value) for name, value in FAMILIES[family].items()}
            model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, num_labels=3, **values))
            made[family] = tmp_path_factory.mktemp("models") / f"tiny-{family}"
            model.save_pretrained(made[family])
            tiny_tokenizer().save_pretrained(made[family])
        return made[family]

    return folder


@pytest.fixture
def bitsandbytes():
    return pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed; tests/requirements.txt brings it on Linux alone")


# Everywhere.


def test_the_version_that_is_named_is_the_one_tested():
    pins = (Path(__file__).parents[1] / "requirements.txt").read_text()
    assert f"bitsandbytes=={quantised.TESTED};" in pins


@pytest.mark.parametrize("bits", BITS)
def test_without_bitsandbytes_one_sentence_brings_it_before_anything_loads(
    tmp_path, wide_dirs, corpus_dir, monkeypatch, bits
):
    monkeypatch.setattr(quantised, "installed", lambda: False)
    config = settings(wide_dirs, corpus_dir, bits, model_name="qwen3-8b")  # not on this machine: nobody may ask for it
    with pytest.raises(ModelError, match=f"in {bits[0]} bit needs bitsandbytes") as caught:
        train(config, output_dir=tmp_path / "adapter")
    assert f"pip install bitsandbytes=={quantised.TESTED}" in caught.value.advice
    assert "\n" not in str(caught.value)


def test_both_at_once_are_refused():
    with pytest.raises(ConfigError, match="not both"):
        parse_config({"load_8bit": True, "load_4bit": True})


def test_what_a_run_asks_for():
    assert quantised.bits_of(RunConfig(load_8bit=True)) == "8bit"
    assert quantised.bits_of(RunConfig(load_4bit=True)) == "4bit"
    assert quantised.bits_of(RunConfig().resolve()) == ""


def test_a_library_that_fails_is_told_in_one_sentence(wide_dirs, monkeypatch):
    monkeypatch.setattr(quantised, "installed", lambda: True)

    def breaks(*args):
        raise ImportError("no kernel\nfor this machine")

    monkeypatch.setattr(quantised, "loading", breaks)
    with pytest.raises(ModelError, match="could not load 'tiny-llama' in 4 bit on cpu") as caught:
        loaded(wide_dirs, "4bit")
    assert "--load-4bit" in caught.value.advice
    assert "\n" not in str(caught.value)


def test_widths_that_the_library_computes_wrongly_on_a_cpu_are_refused(model_dirs, wide_dirs, monkeypatch):
    monkeypatch.setattr(quantised, "installed", lambda: True)
    with pytest.raises(ModelError, match="a multiple of 64 wide; this model has one of 32"):
        loaded(model_dirs, "4bit")
    with pytest.raises(ModelError, match="one of 32"):
        loaded(model_dirs, "4bit", "gpt2")
    narrow = torch.nn.Linear(32, 64)
    quantised.refuse_widths("8bit", CPU, narrow)
    quantised.refuse_widths("4bit", torch.device("cuda"), narrow)
    quantised.refuse_widths("4bit", CPU, torch.nn.Linear(64, 32))


def test_how_each_is_loaded():
    for device in (CPU, torch.device("cuda")):
        eight = quantised.loading("8bit", ["score"], torch.bfloat16, device)
        four = quantised.loading("4bit", ["score"], torch.bfloat16, device)
        assert eight["device_map"] == four["device_map"] == {"": 0 if device.type == "cuda" else "cpu"}
        assert eight["quantization_config"].load_in_8bit
        how = four["quantization_config"]
        assert (how.load_in_4bit, how.bnb_4bit_quant_type, how.bnb_4bit_use_double_quant) == (True, "nf4", True)
        assert how.bnb_4bit_compute_dtype is torch.bfloat16
        assert eight["quantization_config"].llm_int8_skip_modules == how.llm_int8_skip_modules == ["score"]
    assert quantised.loading("", ["score"], torch.float32, CPU) == {}


def test_each_process_loads_on_its_own_gpu(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert quantised.loading("8bit", [], torch.bfloat16, torch.device("cuda"))["device_map"] == {"": 3}


def test_a_plain_weight_is_its_own_full_weight():
    module = torch.nn.Linear(4, 3)
    assert quantised.full_weight(module) is module.weight
    assert not quantised.is_quantised(module)


def test_an_adapter_of_quantised_weights_runs_in_full_without_the_library_and_says_so(
    tmp_path, wide_dirs, corpus_dir, monkeypatch
):
    record(settings(wide_dirs, corpus_dir, ""), tmp_path / "adapter")
    plain = Classifier(tmp_path / "adapter", device="cpu", base=wide_dirs("llama"))
    assert plain.notice == ""
    origin = json.loads((tmp_path / "adapter" / "irtuning.json").read_text())
    (tmp_path / "adapter" / "irtuning.json").write_text(json.dumps({**origin, "bits": "4bit"}))
    monkeypatch.setattr(quantised, "installed", lambda: False)
    found = Classifier(tmp_path / "adapter", device="cpu", base=wide_dirs("llama"))
    assert "trained beside weights in 4 bit" in found.notice
    assert found.classify("the cat", "the dog")["probabilities"] == plain.classify("the cat", "the dog")["probabilities"]


# With bitsandbytes.


def test_loading_the_library_says_nothing_on_the_terminal(bitsandbytes):
    code = "import irtuning.tuning.layers, sys; assert 'bitsandbytes' in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "roberta", "deberta-v2", "modernbert", "distilbert"])
def test_layers_are_quantised_and_the_head_is_not(bitsandbytes, wide_dirs, bits, family):
    model = loaded(wide_dirs, bits, family)
    path, _ = layer_modules(model)
    within = {
        name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)
    }  # fmt: skip
    assert {quantised.is_quantised(m) for name, m in within.items() if name.startswith(f"{path}.")} == {True}
    outside = [name for name, m in within.items() if not name.startswith(f"{path}.")]
    assert outside
    assert not [name for name in outside if quantised.is_quantised(within[name])]
    full = loaded(wide_dirs, "", family)
    assert model.get_memory_footprint() < full.get_memory_footprint()
    # What comes out is what the full weights give, to their rounding.
    ids = torch.arange(4, 40).reshape(2, 18)
    with torch.no_grad():
        ours, theirs = (m(input_ids=ids, attention_mask=torch.ones_like(ids)).logits for m in (model, full))
    assert torch.allclose(ours, theirs, atol=0.3 * float(theirs.abs().max()) + 0.02)


@pytest.mark.parametrize("bits", BITS)
def test_norms_of_quantised_weights_are_those_of_the_full_ones(bitsandbytes, wide_dirs, bits):
    def norms(which):
        model = add_adapter(loaded(wide_dirs, which), RunConfig(adapter_name="lora", lora_r=2, lora_alpha=4, lora_dropout=0.0))
        units = find_layers(model)
        return weight_scores(layer_modules(model)[1]), frozen_norms(model, units)

    for ours, theirs in zip(norms(bits), norms(""), strict=True):
        assert ours == pytest.approx(theirs, rel=0.02)


@pytest.mark.parametrize("bits", BITS)
def test_a_layer_that_was_evaluated_still_passes_its_gradient_on(bitsandbytes, wide_dirs, bits):
    """On CPUs with bfloat16 the library repacks weights in evaluation; the layers below would then never learn."""
    model = add_adapter(
        loaded(wide_dirs, bits, dtype=torch.bfloat16), RunConfig(adapter_name="lora", lora_r=2, lora_alpha=4, lora_dropout=0.0)
    )
    ids = torch.arange(4, 40).reshape(2, 18)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([0, 1])}

    def gradients():
        model.train()
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            model(**inputs).loss.backward()
        return [
            float(p.grad.norm()) for name, p in model.named_parameters() if "lora_B" in name and p.grad is not None
        ]  # fmt: skip

    before = gradients()
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model(**inputs)
    assert min(before) > 0
    assert gradients() == pytest.approx(before, rel=0.1)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("method", ["ir", "full"])
def test_a_whole_run_and_its_adapter_gives_the_same_scores_again(
    bitsandbytes, tmp_path, wide_dirs, corpus_dir, bits, method
):
    config = settings(wide_dirs, corpus_dir, bits, tuning_method=method, max_steps=12)
    result, events = record(config, tmp_path / "adapter")
    steps = [e for e in events if e.kind == "step"]
    assert len(steps) == 12
    for step in steps[1:]:  # in the first, the warm-up leaves the rate at zero
        assert step.moved == step.selected
        assert all(s is None or s > 0 for s in step.scores)
    plain = next(
        e for e in record(settings(wide_dirs, corpus_dir, "", max_steps=1), tmp_path / "plain")[1] if e.kind == "run_started"
    )
    started = next(e for e in events if e.kind == "run_started")
    assert (started.parameters_trainable, started.parameters_total) == (plain.parameters_trainable, plain.parameters_total)
    assert read_origin(tmp_path / "adapter").bits == bits
    assert f"weights in {bits[0]} bit" in (tmp_path / "adapter" / "README.md").read_text()

    classifier = Classifier(tmp_path / "adapter", device="cpu", base=wide_dirs("llama"))
    assert classifier.notice == ""
    assert quantised.is_quantised(layer_modules(classifier._model)[1][0].self_attn.q_proj.get_base_layer())
    again = evaluate(classifier, str(corpus_dir), Columns())
    assert again["metrics"] == result.test


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(
    "more",
    [
        {"adapter_name": "dora"},
        {"adapter_name": "bottleneck"},
        {"importance_metric_name": "cosine"},
        {"importance_metric_name": "weight"},
        {"relative_to": "weight-norm"},
        {"tuning_method": "ist"},
        {"gradient_checkpointing": True},
        {"dtype": "float32"},
        {"family": "gpt2"},
        {"family": "bert", "tokens_per_micro_batch": 64},
    ],
    ids=lambda more: "-".join(map(str, more.values())),
)
def test_everything_else_of_a_run_works_beside_it(bitsandbytes, tmp_path, wide_dirs, corpus_dir, bits, more):
    _, events = record(settings(wide_dirs, corpus_dir, bits, **more), tmp_path / "adapter")
    steps = [e for e in events if e.kind == "step"]
    assert len(steps) == 6
    assert all(np.isfinite(step.loss) for step in steps)
    assert any(step.moved for step in steps)
    for step in steps[1:]:  # in the first, the warm-up leaves the rate at zero
        assert step.moved == step.selected


def test_a_quantised_run_learns(bitsandbytes, tmp_path, wide_dirs, corpus_dir):
    config = settings(wide_dirs, corpus_dir, "4bit", max_steps=60, learning_rate=1e-2, tuning_method="full")
    _, events = record(config, tmp_path / "adapter")
    losses = [e.loss for e in events if e.kind == "step"]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_on_a_cpu_it_says_that_it_is_slower(bitsandbytes, tmp_path, wide_dirs, corpus_dir):
    _, events = record(settings(wide_dirs, corpus_dir, "8bit", max_steps=1), tmp_path / "adapter")
    assert [e.text for e in events if e.kind == "notice" and "8 bit trains more slowly" in e.text]
