"""How long a run will take and how much memory it will hold, before it starts. Pure: numbers in, numbers out.

Knows no store and no page. What was measured here before wins over the table; a table's answer says that it is a guess.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.insight.machine import Machine
from irtuning.tuning.schedule import FORWARD_SHARE, evaluation_steps

CHARACTERS_A_TOKEN = 4.2
TEMPLATE_TOKENS = 8
MARKED_SHARE = 0.65
"""Without an instruction the text is read once, with its changes marked: what both sides share does not count twice."""
INSTRUCTION_TOKENS = 70
PADDING = 1.9
"""Computing for each token of text against what a full pass without padding takes: batches are drawn at random and cut in parts."""

CPU_CORE_FLOPS = {"bfloat16": 2.6e11, "float32": 1.5e11}
"""Useful operations a second and core in a training step of a small transformer."""
GPU_FLOPS = {"cuda": 3e13, "mps": 1.5e12}
STEP_OVERHEAD_SECONDS = 0.03
START_SECONDS = 8.0
"""Process, libraries, floor and saving, whatever the model."""

BASE_GIB = {"cpu": 1.0, "mps": 0.6, "cuda": 0.5}
ACTIVATION_BYTES = 80
"""Kept for the backward pass, for each token, layer and unit of width; with checkpointing of one layer and all inputs."""
HELD_BYTES = {8: 1.01, 4: 0.52}
"""A quantised weight with its share of the scales; embeddings, norms and head stay in the device's numbers."""
LORA_BYTES = 16
"""A trained weight: its value, gradient and AdamW's two moments in float32."""


@dataclass(frozen=True)
class Sizes:
    """How much text a run reads: rows a part, and tokens an average pair takes with its template."""

    train: int
    validation: int
    test: int
    mean_tokens: float


@dataclass(frozen=True)
class Measured:
    """What a former run of a model took here.

    Attributes:
        seconds_per_1000: for 1,000 tokens of text. peak_memory_mib: None: unknown.
        of: that run's settings, resolved: what other settings take is told in proportion. None: the same as now.
    """

    seconds_per_1000: float
    peak_memory_mib: float | None = None
    of: RunConfig | None = None


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        seconds: until its end, None where the corpus's size is unknown. memory_gib: at its peak, None for unknown models.
        guess: nothing was measured here yet. steps: optimizer steps, None where unknown.
    """

    seconds: float | None
    memory_gib: float | None
    guess: bool
    steps: int | None = None


def bits(settings: Mapping[str, Any]) -> int:
    """In how many bits the frozen model is held, 8 or 4; 0: in the device's own numbers. What was measured of one way tells
    nothing of another."""
    return 8 if settings.get("load_8bit") else 4 if settings.get("load_4bit") else 0


def mean_tokens(characters: float, *, use_instruction: bool) -> float:
    """Tokens an average pair takes with its template, from its characters: no tokenizer is loaded."""
    if use_instruction:
        return characters / CHARACTERS_A_TOKEN + INSTRUCTION_TOKENS
    return MARKED_SHARE * characters / CHARACTERS_A_TOKEN + TEMPLATE_TOKENS


def measured(events: Iterable[Mapping[str, Any]], *, skip: int = 3, least: int = 5) -> Measured | None:
    """Speed and memory from a run's events: the median over its steps, the first few left out; None with too few steps."""
    steps = [e for e in events if e.get("kind") == "step" and e.get("tokens") and e.get("seconds")][skip:]
    if len(steps) < least:
        return None
    memory = [e["memory_mib"] for e in steps if e.get("memory_mib")]
    return Measured(
        statistics.median(1000 * e["seconds"] / e["tokens"] for e in steps), max(memory) if memory else None
    )


def estimate(config: RunConfig, sizes: Sizes | None, machine: Machine | None, history: Measured | None = None) -> Estimate:
    """What a run will take.

    Args:
        config: resolved.
        sizes: of the corpus, None where they are not known before it is loaded.
        machine: where it will run, None where that is not known yet (then two cores in float32 are assumed).
        history: what the same model took on this machine before.
    """
    entry = catalogue.MODELS.get(config.model_name or "")
    here = _asked(config, machine or Machine("cpu", "2 CPU cores", "float32", 2, 8.0, None))
    steps = config.steps(sizes.train) if sizes else config.max_steps
    memory = _memory_gib(config, entry, sizes, here)
    former = (history and history.of) or config
    if history and history.peak_memory_mib:
        by_table = _memory_gib(former, entry, sizes, here)
        memory = history.peak_memory_mib / 1024 * (memory / by_table if memory and by_table else 1.0)
    speed = history.seconds_per_1000 if history else _seconds_per_1000(entry, here)
    if sizes is None or steps is None or speed is None:
        return Estimate(None, memory, history is None, steps)
    tokens = min(sizes.mean_tokens, config.max_length or sizes.mean_tokens)
    rows = min(config.batch_size or 1, sizes.train)
    learnt = steps * rows * tokens * _again(config) / (_again(former) if history else 1.0)
    evaluations = len(evaluation_steps(steps, config.batch_size or 1, sizes.validation))
    read = (evaluations * sizes.validation + sizes.test) * tokens * FORWARD_SHARE
    start = START_SECONDS + (entry.parameters_m / 50 if entry else 0.0)
    overhead = 0.0 if history else steps * STEP_OVERHEAD_SECONDS
    return Estimate(start + overhead + (learnt + read) / 1000 * speed, memory, history is None, steps)


def _again(config: RunConfig) -> float:
    """A step's work against one without checkpointing, which computes what lies between layers once more in the backward pass."""
    return 1 + FORWARD_SHARE * bool(config.gradient_checkpointing)


def _asked(config: RunConfig, machine: Machine) -> Machine:
    """The machine as a run uses it that asks for a device or a number format of its own."""
    device, dtype = config.device or "auto", config.dtype or "auto"
    if device not in ("auto", machine.device):
        # Nothing is known of the other device's numbers.
        machine = replace(machine, device=device, dtype="float32")
    return machine if dtype == "auto" else replace(machine, dtype=dtype)


def _seconds_per_1000(entry: catalogue.Model | None, machine: Machine) -> float | None:
    if entry is None:
        return None
    flops = GPU_FLOPS.get(machine.device) or CPU_CORE_FLOPS.get(machine.dtype, 9.4e10) * machine.cores
    return 6 * entry.parameters_m * 1e6 * 1000 * PADDING / flops


def _memory_gib(
    config: RunConfig, entry: catalogue.Model | None, sizes: Sizes | None, machine: Machine
) -> float | None:
    if entry is None:
        return None
    full = 2 if machine.dtype == "bfloat16" else 4
    held = HELD_BYTES.get(bits(config.model_dump()), full)
    longest = min(config.max_length or 256, 2.5 * sizes.mean_tokens if sizes else config.max_length or 256)
    tokens = min((config.per_device_train_batch_size or 1) * longest, config.tokens_per_micro_batch or 2**31)
    kept = ACTIVATION_BYTES + entry.layers * full if config.gradient_checkpointing else entry.layers * ACTIVATION_BYTES
    activations = tokens * entry.hidden_size * kept
    width = (config.bottleneck_width if config.adapter_name == "bottleneck" else config.lora_r) or 0
    adapters = entry.layers * 12 * entry.hidden_size * width * LORA_BYTES
    weights = 1e6 * (entry.embedding_m * full + (entry.loaded_m - entry.embedding_m) * held)
    return BASE_GIB.get(machine.device, 0.5) + (weights + activations + adapters) / 2**30
