"""Three ways to train the same model on the same rows: ours, plain Trainer with peft, and the reference's way.

`python -m tests.benchmarks.arms JOB` runs one of them in this process and prints what it gave as one JSON line; the driver
starts one such process a run, so that peak memory is that run's own. Knows no results file.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from irtuning.config import RunConfig, parse_config
from irtuning.events import Step
from irtuning.revisions.corpora import load_corpus
from irtuning.tuning.arguments import warmup
from irtuning.tuning.batches import Row, shuffled
from irtuning.tuning.device import peak_memory_mib
from irtuning.tuning.metrics import score
from irtuning.tuning.preparing import Prepared
from irtuning.tuning.training import train
from tests.benchmarks.vanilla import prepare_plain

PADDED_TO = 256
EVALUATED_EVERY = 10
"""The reference scores the test part every ten steps."""


def ours(config: RunConfig, limit: int) -> dict[str, Any]:
    """A run as a user gets it, without the floor; its seconds are those of all epochs, where it was cut short."""
    steps: list[Step] = []
    others: list[Any] = []
    spans: dict[str, float] = {}

    def emit(event: Any) -> None:
        (steps if isinstance(event, Step) else others).append(event)
        if event.kind == "phase":
            spans[event.name] = time.perf_counter()

    config = config.model_copy(update={"max_steps": limit or config.max_steps, "save_steps": 0})
    with tempfile.TemporaryDirectory() as folder:
        result = train(config, emit, output_dir=f"{folder}/adapter")
    started = next(event for event in others if event.kind == "run_started")
    whole = -(-started.corpus_sizes["train"] // config.batch_size) * config.num_train_epochs / len(steps)
    return {
        "seconds": sum(step.seconds for step in steps) * whole,
        "seconds_with_evaluation": (spans["saving"] - spans["training"]) * whole,
        "steps": len(steps),
        "tokens": sum(step.tokens for step in steps),
        "tokens_per_second": sum(step.tokens for step in steps) / sum(step.seconds for step in steps),
        "test": result.test,
        "validation": result.validation,
        "layers_trained": result.layers_trained,
        "unchanged": _longest_unchanged(steps),
    }


def plain(config: RunConfig, limit: int) -> dict[str, Any]:
    """transformers' Trainer with peft's own LoRA on all layers, each batch padded to its longest row; rows come as they come in ours.

    Seconds are those of all epochs, where it was cut short.
    """
    prepared = prepare_plain(config, load_corpus(config.dataset_name))
    padder = _Counting(DataCollatorWithPadding(prepared.tokenizer))
    trainer = _trainer(prepared, config, limit, padder)
    began = time.perf_counter()
    trainer.train()
    a_step = (time.perf_counter() - began) / trainer.state.global_step
    return {
        **_told(prepared, trainer, a_step * _steps(prepared, config)),
        "tokens_per_second": padder.tokens_a_batch / a_step,
    }


def reference(config: RunConfig, limit: int) -> dict[str, Any]:
    """The reference's way: rows padded to 256, norms fetched tensor by tensor, prints, the test part scored every ten steps."""
    prepared = prepare_plain(config, load_corpus(config.dataset_name))
    padder = _Counting(DataCollatorWithPadding(prepared.tokenizer, padding="max_length", max_length=PADDED_TO))
    layerwise = _ReferenceCallback(prepared, evaluates=not limit)
    trainer = _trainer(prepared, config, limit, padder, layerwise)
    began = time.perf_counter()
    trainer.train()
    steps = trainer.state.global_step
    a_step = (time.perf_counter() - began - layerwise.seconds) / steps
    if not layerwise.evaluations:
        layerwise.evaluate()
    an_evaluation = layerwise.seconds / layerwise.evaluations
    # What a run of all epochs would take, from its steps and one evaluation.
    whole = _steps(prepared, config)
    return {
        **_told(prepared, trainer, a_step * whole + an_evaluation * (whole // EVALUATED_EVERY)),
        "steps": whole,
        "measured_steps": steps,
        "step_seconds": a_step,
        "tokens_per_second": padder.tokens_a_batch / a_step,
        "evaluation_seconds": an_evaluation,
    }


class _AsOurs(torch.utils.data.Sampler[int]):
    """Rows in the order of a run of ours with that seed: the order alone moves macro-F1 by points, and seeds are compared in pairs."""

    def __init__(self, rows: int, seed: int) -> None:
        self._rows, self._seed, self._epoch = rows, seed, 0

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[int]:
        yield from shuffled(self._rows, self._seed, self._epoch)
        self._epoch += 1


class _Plain(Trainer):
    """Untouched but for the order of its rows."""

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
        return _AsOurs(len(self.train_dataset), self.args.seed)


class _Counting:
    """A collator that counts tokens, padding left out."""

    def __init__(self, inner: Callable[[list[Row]], Any]) -> None:
        self._inner, self._tokens, self._batches = inner, 0, 0

    def __call__(self, rows: list[Row]) -> Any:
        self._tokens += sum(len(row["input_ids"]) for row in rows)
        self._batches += 1
        return self._inner(rows)

    @property
    def tokens_a_batch(self) -> float:
        """Mean over the batches made, of which the loader may be one ahead."""
        return self._tokens / self._batches


class _ReferenceCallback(TrainerCallback):
    """What the reference does around a step; of a run that is cut short it evaluates nothing by itself."""

    def __init__(self, prepared: Prepared, evaluates: bool) -> None:
        self._prepared, self._evaluates, self.evaluations, self.seconds = prepared, evaluates, 0, 0.0

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """One transfer from the device for each tensor."""
        norms = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.grad is not None}
        print(f"step {state.global_step}", dict(list(norms.items())[:4]), file=sys.stderr)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Scores the test part where it is due."""
        if self._evaluates and state.global_step % EVALUATED_EVERY == 0:
            self.evaluate()

    def evaluate(self) -> None:
        """The test part, padded to 256 like all else."""
        before = time.perf_counter()
        _predict(self._prepared, "test", padded_to=PADDED_TO)
        self.seconds += time.perf_counter() - before
        self.evaluations += 1


def _trainer(prepared: Prepared, config: RunConfig, limit: int, collator: Any, *callbacks: Any) -> Trainer:
    trainer = _Plain(
        model=prepared.model,
        args=TrainingArguments(
            output_dir="unused",
            max_steps=limit or _steps(prepared, config),
            per_device_train_batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            warmup_steps=warmup(config.warmup_steps, _steps(prepared, config)),
            seed=config.seed,
            use_cpu=prepared.device.device == "cpu",
            bf16=prepared.device.dtype == "bfloat16",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=_rows(prepared.rows["train"]),
        data_collator=collator,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _rows(rows: list[Row]) -> list[Row]:
    return [{key: value for key, value in row.items() if key != "row"} for row in rows]


def _steps(prepared: Prepared, config: RunConfig) -> int:
    return max(1, round(-(-len(prepared.rows["train"]) // config.batch_size) * config.num_train_epochs))


def _told(prepared: Prepared, trainer: Trainer, seconds: float) -> dict[str, Any]:
    truth = prepared.truth("test")
    metrics, _ = score(truth, _predict(prepared, "test"), list(prepared.corpus.labels))
    return {"seconds": seconds, "seconds_with_evaluation": seconds, "steps": trainer.state.global_step, "test": metrics}


@torch.no_grad()
def _predict(prepared: Prepared, part: str, padded_to: int = 0) -> np.ndarray:
    prepared.model.eval()
    padder = DataCollatorWithPadding(
        prepared.tokenizer, padding="max_length" if padded_to else True, max_length=padded_to or None
    )
    rows, found = _rows(prepared.rows[part]), []
    for start in range(0, len(rows), 16):
        batch = padder(rows[start : start + 16])
        batch.pop("labels")
        with torch.autocast(prepared.device.device, torch.bfloat16, enabled=prepared.device.dtype == "bfloat16"):
            found.append(prepared.model(**batch).logits.float().softmax(-1))
    return torch.cat(found).numpy()


def _longest_unchanged(steps: list[Step]) -> int:
    longest = run = 0
    for before, after in itertools.pairwise(steps):
        run = run + 1 if before.selected == after.selected else 0
        longest = max(longest, run)
    return longest


ARMS: dict[str, Callable[[RunConfig, int], dict[str, Any]]] = {"ours": ours, "plain": plain, "reference": reference}


def run(job: dict[str, Any]) -> dict[str, Any]:
    """One job: {"arm", "config" (RunConfig fields), "limit" (steps, 0: all)}; what it gave, with peak resident memory.

    With "in_turns", all its seconds are those in which it computed, on one thread.
    """
    if threads := job.get("threads"):
        torch.set_num_threads(threads)
    if job.get("in_turns"):
        time.perf_counter = time.process_time
    config = parse_config(job["config"]).resolve()
    found = ARMS[job["arm"]](config, job.get("limit", 0))
    return {**found, "epochs": config.num_train_epochs, "peak_memory_mib": peak_memory_mib("cpu")}


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
