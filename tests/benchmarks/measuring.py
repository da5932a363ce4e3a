"""What measuring costs: a training step with LayerwiseCallback beside the same step without it.

`python -m tests.benchmarks.measuring MODEL CORPUS [--blocks 10] [--steps 10]` trains all layers in three arms, on the same
batches in one process, in blocks that take turns (ABC BCA CAB ...): with the callback; without it, so that nothing is
measured, compared or reported and the Trainer clips in its own way; and without it but with our way of clipping, which is
the stricter rival. Then some blocks tell what each part of the callback takes. Knows no results file. Times are of this
machine alone; what else runs on it hits all arms alike, and CPU time tells what was computed from what was waited for.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import comb
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from irtuning.config import RunConfig
from irtuning.revisions.corpora import load_corpus
from irtuning.tuning import callback as callback_module
from irtuning.tuning.arguments import arguments
from irtuning.tuning.batches import Rows
from irtuning.tuning.callback import LayerwiseCallback
from irtuning.tuning.importance import clip_gradients
from irtuning.tuning.layers import Snapshot
from irtuning.tuning.preparing import Prepared, prepare
from irtuning.tuning.trainer import StepTrainer
from tests.benchmarks.telling import told

MOST = 1.02
"""The figure to hold: a step that measures takes at most 2 % more than one that does not."""


Parts = dict[str, dict[int, float]]
"""Part of the callback -> step -> seconds."""


class Clock:
    """Seconds now, once the device (`cuda`, `cpu`) has done what it was told."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None

    def now(self) -> tuple[float, float]:
        """Wall and CPU time, seconds from any origin."""
        self._synchronize()
        return time.perf_counter(), time.process_time()


class StepTimes:
    """Times every step from before the first callback to after the last one; the first `skip` steps are left out."""

    def __init__(self, clock: Clock, skip: int) -> None:
        self._clock, self._skip, self._seen = clock, skip, 0
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def first(self) -> TrainerCallback:
        """To stand before all other callbacks."""
        times = self

        class First(TrainerCallback):
            def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
                times._began = times._clock.now()

        return First()

    def last(self) -> TrainerCallback:
        """To stand behind all other callbacks."""
        times = self

        class Last(TrainerCallback):
            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                wall, cpu = times._clock.now()
                times._seen += 1
                if times._seen > times._skip:
                    times.wall.append(wall - times._began[0])
                    times.cpu.append(cpu - times._began[1])

        return Last()


def measured(trainer: StepTrainer) -> None:
    """As users train: the callback measures, clips, compares and reports."""
    trainer.add_callback(LayerwiseCallback("full", emit=lambda event: None))


def unmeasured(trainer: StepTrainer) -> None:
    """The Trainer alone, which clips in its own way."""


def clipped_alike(trainer: StepTrainer) -> None:
    """The Trainer alone, clipping as the callback does."""
    parameters = [p for p in trainer.model.parameters() if p.requires_grad]
    trainer._clip_grad_norm = lambda model: clip_gradients(parameters, trainer.args.max_grad_norm)


ARMS: dict[str, Callable[[StepTrainer], None]] = {
    "measured": measured,
    "not measured": unmeasured,
    "not measured, clipped alike": clipped_alike,
}
RIVALS = ("not measured", "not measured, clipped alike")


def block(config: RunConfig, prepared: Prepared, clock: Clock, steps: int, skip: int, arm: Callable[..., None]) -> StepTimes:
    """`skip` + `steps` steps on the first batches of the corpus's first pass; what each of the last `steps` took."""
    times = StepTimes(clock, skip)
    trainer = StepTrainer(
        model=prepared.model,
        args=arguments(config, prepared.device, skip + steps),
        rows=Rows(prepared.rows["train"]),
        pad_token_id=prepared.tokenizer.pad_token_id,
        most_tokens=config.tokens_per_micro_batch,
        passes=prepared.passes,
        check=lambda: None,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(times.first())
    arm(trainer)
    trainer.add_callback(times.last())
    # What one block leaves behind is swept up before the next one, not in it.
    gc.collect()
    trainer.train()
    return times


def taking_turns(arms: Sequence[str], blocks: int, run: Callable[[str], Any]) -> dict[str, list[Any]]:
    """`blocks` blocks of each arm; who goes first moves on with every round: what drifts hits all alike."""
    found: dict[str, list[Any]] = {arm: [] for arm in arms}
    for place in range(blocks):
        turn = place % len(arms)
        for arm in (*arms[turn:], *arms[:turn]):
            found[arm].append(run(arm))
    return found


def ratios(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> list[float]:
    """One ratio a pair of blocks: the median over its steps of ours / theirs on the same batch."""
    return [
        statistics.median(a / b for a, b in zip(mine, other, strict=True))
        for mine, other in zip(ours, theirs, strict=True)
    ]


def least_disturbed(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> float:
    """Ratio of what the batches took where nothing came between: each one's shortest time over the blocks, added up."""
    return sum(map(min, zip(*ours, strict=True))) / sum(map(min, zip(*theirs, strict=True)))


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Median, and the narrowest pair of values, as far from either end, that holds it with at least `confidence`.

    By order statistics: nothing is assumed but that the values are independent. With fewer than six values at 95 % no pair
    does; then the ends are infinite.
    """
    ordered, count = sorted(values), len(values)
    low, high = float("-inf"), float("inf")
    for out in range(1, count // 2 + 1):
        missed = 2 * sum(comb(count, k) for k in range(out)) / 2**count
        if 1 - missed < confidence:
            break
        low, high = ordered[out - 1], ordered[count - out]
    return statistics.median(ordered), low, high


@contextmanager
def timed_parts(clock: Clock) -> Iterator[tuple[Parts, Callable[[StepTrainer], None]]]:
    """Times the callback's parts while it stands: seconds by part and step, and what a trainer must be told of it first.

    On a CPU it is CPU time, which waits for nobody.
    """
    spent: Parts = defaultdict(lambda: defaultdict(float))
    which = 0 if clock.device == "cuda" else 1
    trainers: list[StepTrainer] = []

    def timing(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = clock.now()[which]
            try:
                return function(*args, **kwargs)
            finally:
                spent[part][trainers[-1].state.global_step] += clock.now()[which] - began

        return wrapper

    places = [
        (callback_module, "gradient_norms", "norms"),
        (callback_module, "clip_gradients", "clipping"),
        (Snapshot, "take", "snapshot"),
        (Snapshot, "moved", "moved"),
        (LayerwiseCallback, "on_step_begin", "choosing and freezing"),
        (LayerwiseCallback, "_listen", "loss and tokens"),
        (LayerwiseCallback, "on_step_end", "transfer and report"),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    for owner, name, part in places:
        setattr(owner, name, timing(part, getattr(owner, name)))

    def around(trainer: StepTrainer) -> None:
        trainers.append(trainer)
        trainer._clip_grad_norm = timing("the Trainer's own clipping", trainer._clip_grad_norm)

    try:
        yield spent, around
    finally:
        for owner, name, original in kept:
            setattr(owner, name, original)


def compare(config: RunConfig, corpus: str, blocks: int, steps: int, skip: int = 2) -> dict[str, Any]:
    """Ratios of a measured step to an unmeasured one, and milliseconds a step of each part.

    Raises:
        StudioError: model or corpus cannot be had.
    """
    config = config.resolve()
    prepared = prepare(config, load_corpus(corpus), lambda event: None, lambda: None)
    clock = Clock(prepared.device.device)

    def run(arm: str) -> StepTimes:
        return block(config, prepared, clock, steps, skip, ARMS[arm])

    run("measured")
    found = taking_turns(list(ARMS), blocks, run)
    wall = {arm: [times.wall for times in found[arm]] for arm in ARMS}
    cpu = {arm: [times.cpu for times in found[arm]] for arm in ARMS}
    # What a CPU computed waits for nobody; of another device it tells nothing.
    own = wall if clock.device == "cuda" else cpu
    with timed_parts(clock) as (spent, around):
        for arm in (measured, unmeasured):
            block(config, prepared, clock, steps, 0, lambda trainer, arm=arm: (around(trainer), arm(trainer)))
    return {
        "model": config.model_name,
        "device": prepared.device.name,
        "dtype": prepared.device.dtype,
        "threads": torch.get_num_threads(),
        "tensors": sum("lora_" in name for name, _ in prepared.model.named_parameters()),
        "blocks": blocks,
        "steps": steps,
        "step_ms": {arm: 1000 * statistics.median(t for times in wall[arm] for t in times) for arm in ARMS},
        "unmeasured_own_ms": 1000 * statistics.median(t for times in own["not measured"] for t in times),
        "ratio": {arm: median_interval(ratios(wall["measured"], wall[arm])) for arm in RIVALS},
        "ratio_cpu_time": {arm: median_interval(ratios(cpu["measured"], cpu[arm])) for arm in RIVALS},
        "ratio_least_disturbed": {arm: least_disturbed(own["measured"], own[arm]) for arm in RIVALS},
        "parts_ms": {part: 1000 * statistics.median(by_step.values()) for part, by_step in spent.items()},
    }


def table(found: dict[str, Any]) -> str:
    """For people: the arms, their ratios, and the parts as shares of an unmeasured step."""
    lines = [
        f"{found['model']} on {found['device']}, {found['dtype']}, {found['tensors']} adapter tensors, "
        f"{found['blocks']} blocks of {found['steps']} steps an arm",
        f"{'a step':30}{'ms':>9} {'measured / this, 95 %':>26} {'in CPU time':>26} {'shortest of each':>17}",
    ]
    for arm, took in found["step_ms"].items():
        cells = [
            "{:9.4f} ({:.4f}-{:.4f})".format(*found[key][arm]) if arm in found[key] else ""
            for key in ("ratio", "ratio_cpu_time")
        ]
        shortest = found["ratio_least_disturbed"].get(arm)
        last = f"{shortest:.4f}" if shortest else ""
        lines.append(f"{arm:30}{took:9.2f} {cells[0]:>26} {cells[1]:>26} {last:>17}".rstrip())
    whole = found["unmeasured_own_ms"]
    lines.append(f"\n{'part':30}{'ms a step':>9}{'share':>9}")
    for part, took in sorted(found["parts_ms"].items(), key=lambda pair: -pair[1]):
        lines.append(f"{part:30}{took:9.3f}{took / whole:9.2%}")
    return "\n".join(lines)


def main() -> None:
    """Reads the command line; status 1 where a median ratio is above what it may be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--use-instruction", action="store_true")
    chosen = parser.parse_args()
    config = RunConfig(
        model_name=chosen.model,
        tuning_method="full",
        device=chosen.device,
        use_instruction=chosen.use_instruction or None,
        save_steps=0,
    )
    found = told(lambda: compare(config, chosen.corpus, chosen.blocks, chosen.steps), table)
    sys.exit(any(middle > MOST for middle, _, _ in found["ratio"].values()))


if __name__ == "__main__":
    main()
