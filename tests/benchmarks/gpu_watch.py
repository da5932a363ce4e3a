"""Watches a training for the benchmark for GPUs: what each step took and computed, and a profile of the steps after those.

Knows neither how a model is made nor how figures are shown.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainerCallback

from irtuning.events import Step
from irtuning.tuning.batches import ANY, Grain
from irtuning.tuning.device import peak_memory_mib
from irtuning.tuning.prefix import PrefixCache
from tests.benchmarks.flops import Shape, step_flops

PROFILED, COSTLIEST = 5, 15
"""Steps that are profiled, and operations that are shown of them."""


@dataclass
class Micro:
    """One forward pass: tokens of its rows, what they are padded to, and the layers that it skipped."""

    lengths: list[int]
    width: int
    skipped: int


@dataclass
class Measured:
    """One step: seconds since the end of the step before, the layers that trained, its forward passes."""

    seconds: float
    trained: list[int]
    parts: list[Micro]

    @property
    def tokens(self) -> int:
        """Without padding."""
        return sum(sum(part.lengths) for part in self.parts)

    @property
    def padded(self) -> int:
        """Tokens that were computed."""
        return sum(part.width * len(part.lengths) for part in self.parts)

    @property
    def kept(self) -> bool:
        """Whether all its forward passes skipped layers."""
        return all(part.skipped for part in self.parts)

    def flops(self, shape: Shape, rank: int, *, padding: bool = False) -> int:
        """Operations over the rows themselves or, with padding, over all that was computed."""
        return sum(
            step_flops(
                shape,
                rank,
                [part.width] * len(part.lengths) if padding else part.lengths,
                self.trained,
                part.skipped,
            )
            for part in self.parts
        )


@dataclass
class Watch:
    """Takes what happens in a training and gives a `Measured` a step.

    Time runs from one step's end to the next one's, where the callback's only transfer has waited for the device. The device is
    waited for at the two ends of the measured region alone.
    """

    device: str
    warmup: int
    last: int
    prefix: PrefixCache | None = None
    grain: Grain = ANY
    steps: list[Measured] = field(default_factory=list)
    total: float = 0.0
    """Seconds of the whole measured region."""
    peak_mib: float = 0.0

    def __post_init__(self) -> None:
        self._parts: list[Micro] = []
        self._then = 0.0

    @contextmanager
    def around(self, rows: Sequence[int], lengths: Sequence[int]) -> Iterator[None]:
        """Around each forward pass."""
        hits = self.prefix.hits if self.prefix else 0
        with self.prefix.around(rows, lengths) if self.prefix else nullcontext():
            yield
        skipped = self.prefix.cut if self.prefix and self.prefix.hits > hits else 0
        self._parts.append(Micro(list(lengths), self.grain.width(max(lengths)), skipped))

    def on_step(self, event: Step) -> None:
        """At each step's end."""
        if self.device == "cuda" and event.step in (self.warmup, self.last):
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self.warmup < event.step <= self.last:
            self.steps.append(Measured(now - self._then, list(event.selected), self._parts))
            self.total += now - self._then
        if event.step == self.last:
            self.peak_mib = peak_memory_mib(self.device)
        if event.step == self.warmup and self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        self._parts, self._then = [], time.perf_counter()


class Profile(TrainerCallback):
    """Profiles the steps after the measured ones.

    Attributes:
        table: of the costliest operations, empty until then.
    """

    def __init__(self, device: str, after: int) -> None:
        self._device, self._after, self._profiler, self.table = device, after, None, ""

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts after the last measured step."""
        if state.global_step == self._after:
            kinds = [torch.profiler.ProfilerActivity.CPU]
            if self._device == "cuda":
                kinds.append(torch.profiler.ProfilerActivity.CUDA)
            self._profiler = torch.profiler.profile(activities=kinds)
            self._profiler.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stops after five steps."""
        if self._profiler and state.global_step == self._after + PROFILED:
            if self._device == "cuda":
                torch.cuda.synchronize()
            self._profiler.stop()
            key = "self_cuda_time_total" if self._device == "cuda" else "self_cpu_time_total"
            self.table = self._profiler.key_averages().table(sort_by=key, row_limit=COSTLIEST, max_name_column_width=60)
            self._profiler = None
