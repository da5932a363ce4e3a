"""The GPU benchmark on a CPU: its counts by hand and beside torch's own counter, and its command line on the tiny shape."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import Linear
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from irtuning.config import RunConfig
from irtuning.tuning.adapters import add_adapter
from irtuning.tuning.layers import find_layers, train_only
from tests.benchmarks import gpu, gpu_watch
from tests.benchmarks.flops import Shape, layer_cost, step_flops
from tests.conftest import make_rows, write_jsonl

ROOT = Path(__file__).parents[2]
SMALL = Shape(layers=3, hidden=4, intermediate=6, heads=2, kv_heads=1, vocabulary=50, labels=5)
"""Products: q 4x4, k and v 4x2, o 4x4, gate and up 4x6, down 6x4."""
CPU = torch.device("cpu")


def test_a_layer_by_hand():
    cost = layer_cost(SMALL, 1, [2, 3])
    # 2 * 5 tokens * (q 16 + k 8 + v 8 + o 16 + gate 24 + up 24 + down 24)
    assert cost.frozen == 2 * 5 * 120
    # 2 * 5 tokens * rank 1 * (q 8 + k 6 + v 6 + up 10 + down 10)
    assert cost.adapters == 2 * 5 * 40
    # 4 * 2 heads * 2 numbers * (1 + 2 pairs of the first row, 1 + 2 + 3 of the second)
    assert cost.attention == 16 * 9
    # 2 * 5 tokens * (q, k, v: 32 weights; 3 adapters of rank 1 on 4 inputs)
    assert cost.spared == 2 * 5 * (32 + 12)


@pytest.mark.parametrize(
    ("trained", "skipped", "expected"),
    [
        # forward of three layers and the head, the head's weights
        ((), 0, 3 * (1200 + 400 + 144) + 2 * 200),
        # the head's input; layers 2, 1 and 0 backward, 0 spared its own input's part; three adapters' weights
        ((0, 1, 2), 0, 3 * 1744 + 3 * 200 + 3 * (1200 + 400 + 288) - 440 + 3 * 400),
        # down to layer 1 alone; what rests above it still hands its gradient on
        ((1,), 0, 3 * 1744 + 3 * 200 + 2 * 1888 - 440 + 400),
        # two layers forward, one backward
        ((2,), 1, 2 * 1744 + 3 * 200 + 1888 - 440 + 400),
    ],
)
def test_a_step_by_hand(trained, skipped, expected):
    assert step_flops(SMALL, 1, [2, 3], trained, skipped) == expected


def adapted(shape: Shape, **lora) -> torch.nn.Module:
    model = gpu.random_model(shape, device=CPU, dtype=torch.float32, seed=0)
    model = add_adapter(model, RunConfig(adapter_name="lora", lora_r=3, lora_alpha=6, lora_dropout=0.0, **lora))
    for module in model.modules():
        # The counter does not know products in place, which our own way makes.
        if isinstance(module, Linear):
            module.__class__ = Linear
    return model.train()


@pytest.mark.parametrize("trained", [(0, 1, 2, 3), (0,), (1, 3), (3,), ()])
def test_torch_counts_the_same(trained):
    shape, rows, length = gpu.SHAPES["tiny"], 2, 7
    model = adapted(shape)
    model.base_model.model.config._attn_implementation = "eager"
    train_only(find_layers(model), trained)
    ids = torch.randint(1, shape.vocabulary, (rows, length))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.tensor([0, 1])).loss.backward()
    found = counter.get_flop_counts()["Global"]
    aten = torch.ops.aten
    lengths = [length] * rows
    passes = shape.layers + 2 * (shape.layers - min(trained) if trained else 0)
    products = step_flops(shape, 3, lengths, trained) - passes * layer_cost(shape, 3, lengths).attention
    assert found[aten.mm] + found.get(aten.addmm, 0) == products
    # torch's plain attention computes the whole square.
    square = rows * 4 * shape.heads * shape.head_dim * length**2
    assert found[aten.bmm] == passes * square


class LargestFloat32(TorchDispatchMode):
    """Watches every tensor that comes out of an operation."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.dtype == torch.float32:
            self.size = max(self.size, out.numel())
        return out


def test_the_model_is_never_held_in_float32():
    shape = gpu.SHAPES["tiny"]
    with LargestFloat32() as watch:
        model = gpu.random_model(shape, device=CPU, dtype=torch.bfloat16, seed=0)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert float(model.model.layers[0].mlp.up_proj.weight.detach().float().std()) == pytest.approx(0.02, rel=0.1)
    # Angles of the rotation alone.
    assert 0 < watch.size <= shape.head_dim


def test_the_8b_shape_is_that_of_llama():
    shape = gpu.SHAPES["8b"]
    with torch.device("meta"):
        model = gpu.random_model(shape, device=torch.device("meta"), dtype=torch.bfloat16, seed=0)
    # Llama 3.1 8B has 8.03 billion with the output over the vocabulary, for which a head of five stands here.
    assert sum(p.numel() for p in model.parameters()) == 8_030_261_248 - 128256 * 4096 + 5 * 4096
    a_layer = sum(i * o for i, o in shape.products.values())
    assert layer_cost(shape, 32, [1]).frozen == 2 * a_layer == 2 * (41_943_040 + 176_160_768)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA L40S", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("2 CPU cores", None),
    ],
)
def test_a_share_is_told_only_of_a_peak_that_is_known(name, peak):
    assert gpu.peak_tflops(name) == peak


def test_padding_is_no_work():
    step = gpu.Measured(2.0, [1], [gpu_watch.Micro([2, 3], 3, 0), gpu_watch.Micro([4], 8, 1)])
    assert (step.tokens, step.padded, step.kept) == (9, 14, False)
    assert step.flops(SMALL, 1) == step_flops(SMALL, 1, [2, 3], [1]) + step_flops(SMALL, 1, [4], [1], 1)
    assert step.flops(SMALL, 1, padding=True) == step_flops(SMALL, 1, [3, 3], [1]) + step_flops(SMALL, 1, [8], [1], 1)
    row = gpu.summary("x", [step, step], SMALL, 1, peak=1e-6)
    assert row["tokens_per_s"] == 4.5
    assert row["tflops"] == pytest.approx(step.flops(SMALL, 1) / 2 / 1e12)
    assert row["share_of_peak"] == pytest.approx(row["tflops"] / 1e-6)


def test_steps_are_told_apart_by_what_they_did():
    first, rests = gpu.Measured(1, [0, 1, 2], [gpu_watch.Micro([2], 2, 0)]), gpu.Measured(1, [2], [gpu_watch.Micro([2], 2, 0)])
    kept = gpu.Measured(1, [2], [gpu_watch.Micro([2], 2, 2), gpu_watch.Micro([3], 3, 2)])
    assert gpu.groups("steady", [first, rests, kept], SMALL) == {
        "steady, at first": [first],
        "steady, settled": [rests],
        "steady, kept": [kept],
    }
    assert gpu.groups("ir", [first, rests], SMALL) == {"ir": [first, rests]}


def test_enough_steps_for_all_that_the_steady_way_does():
    chosen = argparse.Namespace(
        warmup=5, steps=20, batch_size=16, tokens_per_micro_batch=None, lora_dropout=None, use_instruction=None,
        gradient_checkpointing=False,
    )  # fmt: skip
    assert gpu.steps_needed("full", chosen, 256) == 25
    steps = gpu.steps_needed("steady", chosen, 256)
    # It settles, waits ten steps, then must meet all rows once, wherever in a pass it is, and be measured.
    settled = round(gpu.config_for("steady", chosen, steps).settle_after * steps)
    assert settled == 25
    assert steps - settled >= 10 + 2 * 16 + 20
    assert steps < 100


def test_the_command_line_on_a_cpu(tmp_path, monkeypatch, capsys):
    corpus = write_jsonl(tmp_path / "corpus.jsonl", make_rows(120))
    monkeypatch.setattr(sys, "argv", [
        "gpu", str(corpus), "--device", "cpu", "--shape", "tiny", "--methods", "full,ir,steady", "--rows", "16",
        "--batch-size", "4", "--steps", "3", "--warmup", "1", "--no-use-instruction", "--profile",
    ])  # fmt: skip
    gpu.main()
    said = capsys.readouterr().out
    assert gpu.ON_A_CPU in said
    assert said.count("costliest operations of 5 steps of") == 3
    found = json.loads(said.splitlines()[-1])
    rows = {row["what"]: row for row in found["results"]}
    assert set(rows) == {"full", "ir", "steady, at first", "steady, settled", "steady, kept"}
    assert found["skipped"] == []
    assert (rows["full"]["steps"], rows["ir"]["steps"]) == (3, 3)
    assert rows["full"]["layers_trained"] == 4 > rows["ir"]["layers_trained"] > 0
    shape = gpu.SHAPES["tiny"]
    low, high = (step_flops(shape, 32, [n] * 4, range(4)) / 1e12 for n in (1, found["longest"]))
    assert low < rows["full"]["tflop_a_step"] < high
    assert rows["steady, kept"]["tflop_a_step"] < 0.8 * rows["steady, at first"]["tflop_a_step"]
    for row in rows.values():
        assert row["share_of_peak"] is None
        assert 0 < row["tflops"] <= row["tflops_with_padding"]
        assert row["tokens_per_s"] > 0
        assert row["peak_memory_mib"] > 0
    assert str(tmp_path) not in said


def test_an_unknown_method_is_told_with_status_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu", "starter", "--methods", "ir,magic"])
    with pytest.raises(SystemExit) as left:
        gpu.main()
    assert left.value.code == 2
    assert "'magic'" in capsys.readouterr().err


def test_what_is_not_installed_is_skipped_with_a_sentence(monkeypatch):
    monkeypatch.setattr(gpu, "installed", lambda: False)
    assert gpu.why_not("full-4bit") == "full-4bit was skipped: bitsandbytes is not installed."
    assert gpu.why_not("steady") == ""
