"""How well a GPU is used: training steps of an 8B Llama's shape, at random, through the project's own Trainer and callback.

`python -m tests.benchmarks.gpu CORPUS` needs no weights and no hub: weights and tokens are random, the lengths of rows are
those of the corpus. It prints a table and one JSON line. `--profile` adds the costliest operations of five steps.
`--device cpu --shape tiny` runs the same way without a GPU, to see that it runs; its numbers say nothing about a GPU.
Knows neither quality nor evaluation. How operations are counted is told in `flops.py`.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PrinterCallback

from irtuning.config import RunConfig
from irtuning.errors import StudioError
from irtuning.tuning.adapters import add_adapter
from irtuning.tuning.arguments import arguments
from irtuning.tuning.batches import Row, Rows
from irtuning.tuning.callback import LayerwiseCallback
from irtuning.tuning.device import Device, choose_device, out_of_memory
from irtuning.tuning.methods import make_policy
from irtuning.tuning.passes import passes_on
from irtuning.tuning.prefix import PATIENCE, PrefixCache
from irtuning.tuning.quantised import installed
from irtuning.tuning.trainer import StepTrainer
from tests.benchmarks.flops import Shape
from tests.benchmarks.gpu_model import PAD, corpus_lengths, quantise, random_model, random_rows
from tests.benchmarks.gpu_watch import COSTLIEST, PROFILED, Measured, Profile, Watch
from tests.benchmarks.studies import STEADY

SHAPES = {
    "8b": Shape(layers=32, hidden=4096, intermediate=14336, heads=32, kv_heads=8, vocabulary=128256),
    "135m": Shape(layers=30, hidden=576, intermediate=1536, heads=9, kv_heads=3, vocabulary=49152),
    "tiny": Shape(layers=4, hidden=64, intermediate=128, heads=4, kv_heads=2, vocabulary=256),
}
"""Llama 3.1 8B, SmolLM2-135M, and one for tests."""

PEAKS = {
    r"H100 80GB HBM3$": 989,
    r"\bH200$": 989,
    r"\bA100\b": 312,
    r"\bL4$": 121,
    r"RTX 4090$": 165,
}
"""Device's name (a regular expression) -> dense bfloat16 TFLOP/s by the maker's data sheet. Slices and boards of another
rate must not match."""

METHODS: dict[str, dict[str, Any]] = {
    "full": {"tuning_method": "full"},
    "ir": {"tuning_method": "ir"},
    "steady": {"tuning_method": "ir", **STEADY},
    "full-8bit": {"tuning_method": "full"},
    "full-4bit": {"tuning_method": "full"},
}
ON_A_CPU = "These are numbers of a CPU: they show that it runs, and say nothing about a GPU."


def peak_tflops(name: str) -> float | None:
    """The device's dense bfloat16 peak, TFLOP/s; None for a device that the table does not know."""
    return next((float(peak) for pattern, peak in PEAKS.items() if re.search(pattern, name)), None)


@dataclass
class Run:
    """What one method gave: measured steps, peak memory, notices, and the profile where one was asked for."""

    steps: list[Measured]
    total: float
    peak_mib: float
    notices: list[str]
    profile: str


def steps_needed(method: str, chosen: argparse.Namespace, rows: int) -> int:
    """Steps until the last measured one: the steady way first settles, then needs a pass over all rows to keep them."""
    before = chosen.warmup + chosen.steps
    if method != "steady":
        return before
    a_pass = -(-rows // chosen.batch_size)
    return before + PATIENCE + 2 * a_pass + chosen.steps


def run_method(method: str, shape: Shape, rows: list[Row], device: Device, chosen: argparse.Namespace) -> Run:
    """Trains by one method and measures; the model is made anew and gone afterwards."""
    last = steps_needed(method, chosen, len(rows))
    steps = last + (PROFILED if chosen.profile else 0)
    config = config_for(method, chosen, steps)
    model = random_model(shape, device=device.torch_device, dtype=device.torch_dtype, seed=config.seed)
    if bits := {"full-8bit": 8, "full-4bit": 4}.get(method):
        quantise(model, bits, device.torch_dtype)
    model = add_adapter(model, config)
    passes = passes_on(device.device, device.torch_dtype, max(len(row["input_ids"]) for row in rows))
    prefix = PrefixCache(model, grain=passes.grain) if config.cache_prefix else None
    watch = Watch(device.device, chosen.warmup, last, prefix, passes.grain)
    notices: list[str] = []
    layerwise = LayerwiseCallback(
        lambda stack: make_policy(config, stack),
        emit=watch.on_step,
        on_choice=prefix.take_choice if prefix else lambda lowest: None,
    )
    profile = Profile(device.device, last)
    trainer = StepTrainer(
        model=model,
        args=arguments(config, device, steps),
        rows=Rows(rows),
        pad_token_id=PAD,
        most_tokens=config.tokens_per_micro_batch,
        passes=passes,
        check=lambda: None,
        around=watch.around,
        remember=layerwise.remember,
        rewind=layerwise.rewind,
        notify=notices.append,
        callbacks=[layerwise, *([profile] if chosen.profile else [])],
    )
    trainer.remove_callback(PrinterCallback)
    try:
        trainer.train()
    finally:
        if prefix:
            prefix.remove()
    return Run(watch.steps, watch.total, watch.peak_mib, notices, profile.table)


def config_for(method: str, chosen: argparse.Namespace, steps: int) -> RunConfig:
    """The paper's settings for Llama 3.1 8B, with what the command line says."""
    # As soon as enough was measured of what comes before: its share of a run as long as people's would take 800 steps.
    settling = {"settle_after": (chosen.warmup + chosen.steps) / steps} if method == "steady" else {}
    asked = {
        "tokens_per_micro_batch": chosen.tokens_per_micro_batch,
        "lora_dropout": chosen.lora_dropout,
        "use_instruction": chosen.use_instruction,
        "gradient_checkpointing": chosen.gradient_checkpointing or None,
    }
    return RunConfig(
        model_name="llama3.1-8b",
        adapter_name="lora",
        lora_r=32,
        lora_alpha=64,
        batch_size=chosen.batch_size,
        max_steps=steps,
        save_steps=0,
        **{**METHODS[method], **settling, **{key: value for key, value in asked.items() if value is not None}},
    ).resolve()


def groups(method: str, steps: Sequence[Measured], shape: Shape) -> dict[str, list[Measured]]:
    """Measured steps by what is told apart: for the steady way, what it does before it settles, after that, and with kept states."""
    if method != "steady":
        return {method: list(steps)}
    found = {"steady, at first": [], "steady, settled": [], "steady, kept": []}
    for step in steps:
        if len(step.trained) == shape.layers:
            found["steady, at first"].append(step)
        else:
            found["steady, kept" if step.kept else "steady, settled"].append(step)
    return found


def summary(name: str, steps: Sequence[Measured], shape: Shape, rank: int, peak: float | None) -> dict[str, Any]:
    """Figures of a group of steps: rates are over all of them together, the step's time is their median.

    Args:
        peak: of the device, TFLOP/s; None: no share of it.
    """
    seconds = sum(step.seconds for step in steps)
    rate = sum(step.flops(shape, rank) for step in steps) / seconds / 1e12
    return {
        "what": name,
        "steps": len(steps),
        "step_s": statistics.median(step.seconds for step in steps),
        "tokens_per_s": sum(step.tokens for step in steps) / seconds,
        "layers_trained": statistics.mean(len(step.trained) for step in steps),
        "tflop_a_step": sum(step.flops(shape, rank) for step in steps) / len(steps) / 1e12,
        "tflops": rate,
        "tflops_with_padding": sum(step.flops(shape, rank, padding=True) for step in steps) / seconds / 1e12,
        "share_of_peak": rate / peak if peak else None,
    }


def table(rows: Sequence[dict[str, Any]], peak: float | None) -> str:
    """For people."""
    share = f"share of {peak:.0f}" if peak else "share: peak unknown"
    lines = [
        f"{'':18}{'steps':>6}{'layers':>8}{'s a step':>10}{'tokens/s':>10}{'TFLOP/s':>9}{'padded':>9}{share:>20}{'peak MiB':>10}"
    ]
    for row in rows:
        part = f"{row['share_of_peak']:.1%}" if row["share_of_peak"] is not None else "-"
        lines.append(
            f"{row['what']:18}{row['steps']:6}{row['layers_trained']:8.1f}{row['step_s']:10.4f}{row['tokens_per_s']:10.0f}"
            f"{row['tflops']:9.3f}{row['tflops_with_padding']:9.3f}{part:>20}{row['peak_memory_mib']:10.0f}"
        )
    return "\n".join(lines)


def why_not(method: str) -> str:
    """A sentence where the method cannot be measured here, else nothing."""
    if method.endswith("bit") and not installed():
        return f"{method} was skipped: bitsandbytes is not installed."
    return ""


def measure(chosen: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """All methods asked for, one after the other; what the JSON line holds.

    Raises:
        StudioError: corpus or device cannot be had.
    """
    device = choose_device(chosen.device)
    shape, methods = SHAPES[chosen.shape], chosen.methods.split(",")
    config = config_for("full", chosen, 1)
    lengths = corpus_lengths(chosen.corpus, config, chosen.rows)
    rows = random_rows(lengths, shape, config.seed)
    peak = peak_tflops(device.name) if device.device == "cuda" and device.dtype == "bfloat16" else None
    found: dict[str, Any] = {
        "device": device.name,
        "dtype": device.dtype,
        "torch": torch.__version__,
        "peak_tflops": peak,
        "note": ON_A_CPU if device.device == "cpu" else "",
        "shape": chosen.shape,
        "batch_size": config.batch_size,
        "rows": len(lengths),
        "median_length": statistics.median(lengths),
        "longest": max(lengths),
        "tokens_per_micro_batch": config.tokens_per_micro_batch,
        "lora_dropout": config.lora_dropout,
        "gradient_checkpointing": config.gradient_checkpointing,
        "results": [],
        "skipped": [],
    }
    for method in methods:
        if sentence := why_not(method):
            found["skipped"].append(sentence)
            continue
        say(f"measuring {method}")
        try:
            run = run_method(method, shape, rows, device, chosen)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            run = None
            found["skipped"].append(f"{method} was skipped: the memory ran out, even with one row at once.")
        if run:
            found["skipped"] += [f"{method}: {text}" for text in run.notices]
            if run.profile:
                say(f"\nthe {COSTLIEST} costliest operations of {PROFILED} steps of {method}\n{run.profile}")
            for name, steps in groups(method, run.steps, shape).items():
                # What is computed in 8 bits has another peak.
                if steps:
                    row = summary(name, steps, shape, config.lora_r, None if method == "full-8bit" else peak)
                    found["results"].append({**row, "peak_memory_mib": run.peak_mib})
            run = None
        gc.collect()
        if device.device == "cuda":
            torch.cuda.empty_cache()
    return found


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--shape", choices=list(SHAPES), default="8b")
    parser.add_argument("--device", choices=["auto", "cuda", "cpu"], default="auto")
    parser.add_argument("--methods", default=",".join(METHODS), help="several, with commas: " + ", ".join(METHODS))
    parser.add_argument("--steps", type=int, default=20, help="measured steps; the steady way makes more")
    parser.add_argument("--warmup", type=int, default=5, help="steps before the measured ones, at least 1")
    parser.add_argument("--rows", type=int, default=256, help="rows of the corpus to take lengths from")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--tokens-per-micro-batch", type=int)
    parser.add_argument("--lora-dropout", type=float, help="default: the model's, 0.05; without it products are fused")
    parser.add_argument("--use-instruction", action=argparse.BooleanOptionalAction)
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args()
    if unknown := [m for m in chosen.methods.split(",") if m not in METHODS]:
        parser.error(f"there is no method {unknown[0]!r}; there are {', '.join(METHODS)}")
    if chosen.warmup < 1 or chosen.steps < 1:
        parser.error("--warmup and --steps must be at least 1")
    try:
        found = measure(chosen, lambda text: print(text, file=sys.stderr if text.startswith("measuring") else sys.stdout))
    except StudioError as error:
        sys.exit(str(error))
    print(
        f"{found['device']}, {found['dtype']}, shape {found['shape']}, batches of {found['batch_size']} rows, median length "
        f"{found['median_length']:.0f}, dropout {found['lora_dropout']}"
    )
    if found["note"]:
        print(found["note"])
    print(table(found["results"], found["peak_tflops"]))
    for sentence in found["skipped"]:
        print(sentence)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
