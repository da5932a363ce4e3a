"""Fits a prepared model: the Trainer with its callbacks, from the first step or from a checkpoint to the best weights.

Knows no run folders, no saving of adapters and no test part.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PrinterCallback, TrainerCallback

from irtuning.config import RunConfig
from irtuning.errors import BREAKS, ConfigError, ModelError, StopRequested, StudioError
from irtuning.events import Evaluated, Notice, Phase, RunStarted, Step
from irtuning.revisions.corpora import Corpus
from irtuning.tuning.arguments import arguments
from irtuning.tuning.batches import Rows
from irtuning.tuning.breaking import explanation
from irtuning.tuning.callback import LayerwiseCallback
from irtuning.tuning.layers import Layer, find_layers, layer_modules
from irtuning.tuning.lockin import LockInWatch
from irtuning.tuning.methods import make_policy
from irtuning.tuning.metrics import score
from irtuning.tuning.padding import Padding
from irtuning.tuning.policies import Stack
from irtuning.tuning.prefix import PATIENCE, PrefixCache
from irtuning.tuning.preparing import Prepared
from irtuning.tuning.ranks import any_rank, several, told_by_first, world_size
from irtuning.tuning.reporting import reporters
from irtuning.tuning.schedule import evaluation_steps
from irtuning.tuning.sealing import Seal
from irtuning.tuning.trainer import StepTrainer
from irtuning.tuning.validation import Validation

Emit = Callable[[Any], None]
OnNorms = Callable[[list[str], int, list[float]], None]


@dataclass
class Fitted:
    """What fitting gave; the model holds the weights of `best_step`.

    Attributes:
        steps: optimizer steps made. best_step: the step whose weights the model holds, 0 where none is worth keeping.
        seconds_before: spent before a resumed run's checkpoint. validation: metrics of that step.
        layers_trained: steps in which each unit trained.
        stopped: somebody stopped it; the weights are then those of the last whole step. broken: why it could not go on.
    """

    steps: int = 0
    best_step: int = 0
    validation: dict[str, Any] = field(default_factory=dict)
    layers_trained: list[int] = field(default_factory=list)
    seconds_before: float = 0.0
    stopped: bool = False
    broken: StudioError | None = None


_FREE = {
    "logging_steps", "save_steps", "report_to", "device", "per_device_train_batch_size", "gradient_accumulation_steps",
    "tokens_per_micro_batch", "gradient_checkpointing",
}  # fmt: skip


def settings_of(config: RunConfig) -> dict[str, Any]:
    """What must be the same for a training to go on from a checkpoint: all but where and in what parts it computes, and what it tells."""
    return config.model_dump(mode="json", exclude=_FREE)


def fit(
    config: RunConfig,
    prepared: Prepared,
    *,
    emit: Emit,
    check: Callable[[], None],
    before_training: Callable[[Corpus], None],
    on_norms: OnNorms | None,
    checkpoints: Path | None,
    resume_from: tuple[Path, dict[str, Any]] | None,
) -> Fitted:
    """Trains until the config's steps are made, somebody stops it, or it breaks.

    Args:
        check: raises StopRequested where the run was asked to stop.
        resume_from: a whole checkpoint and what its seal says.

    Raises:
        StudioError: the choices do not fit the model.
    """
    model, rows = prepared.model, Rows(prepared.rows["train"])
    steps = planned_steps(config, len(rows))
    units = find_layers(model, config.selection_unit)
    _refuse_what_this_model_cannot_do(config, units, layers=len(layer_modules(model)[1]), steps=steps)
    place, seal = resume_from or (None, {})
    began, spent = time.perf_counter(), seal.get("seconds", 0.0)
    fitted = Fitted(seconds_before=spent, steps=seal.get("step", 0), layers_trained=seal.get("layers_trained", [0] * len(units)))
    emit(_started(config, prepared, steps, units))
    try:
        before_training(prepared.corpus)
        check()
    except StopRequested:
        fitted.stopped = True
        return fitted
    watch = LockInWatch(
        config.tuning_method,
        config.importance_metric_name,
        config.selection_unit,
        settles=config.settle_after is not None,
    )
    if "lock_in" in seal:
        watch.load_state_dict(seal["lock_in"])

    def noted() -> dict[str, Any]:
        seconds = spent + time.perf_counter() - began
        return {"layers_trained": fitted.layers_trained, "seconds": seconds, "lock_in": watch.state_dict(), "settings": settings_of(config)}

    def on_step(event: Step) -> None:
        if event.loss is None or not math.isfinite(event.loss):
            raise Diverged("The loss", event.step)
        fitted.steps = event.step
        for unit in event.selected:
            fitted.layers_trained[unit] += 1
        emit(event)
        if text := watch.take(event.step, event.selected, len(units)):
            emit(Notice(level="info", text=text))
        if config.report_to != "none" and event.step % trainer.args.logging_steps == 0:
            # All in one: once a callback has logged in a step, the Trainer leaves out what it would have logged itself.
            importance = {f"importance/{i}": value for i, value in enumerate(event.scores) if value is not None}
            trainer.log({"loss": event.loss, "learning_rate": event.learning_rate, **importance})

    def check_here() -> None:
        # Of several processes all must stop at the same step, so they ask one another there and nowhere else.
        if not several():
            check()

    def evaluate(step: int) -> dict[str, Any]:
        probabilities = told_by_first(prepared.probabilities("validation", check_here))
        if not np.isfinite(probabilities).all():
            raise Diverged("The model's output", step)
        metrics, confusion = score(prepared.truth("validation"), probabilities, list(prepared.corpus.labels))
        emit(Evaluated(step=step, subset="validation", of="network", metrics=metrics, confusion=confusion))
        if config.report_to != "none":
            # The Trainer's own prefix, which trackers group by.
            trainer.log({f"eval_{name}": value for name, value in metrics.items() if isinstance(value, float)})
        return metrics

    # A choice that stays needs no time to prove that it does.
    stays = config.tuning_method == "fixed" or config.settle_after is not None
    dtype = prepared.device.torch_dtype
    prefix = PrefixCache(model, patience=1 if stays else PATIENCE, grain=prepared.passes.grain) if config.cache_prefix else None
    padding = Padding(model, rows.rows, prepared.tokenizer.pad_token_id, dtype) if prepared.passes.skip_padding else None

    @contextmanager
    def around(indices: Sequence[int], lengths: Sequence[int]) -> Iterator[None]:
        with padding.left_out(lengths) if padding else nullcontext(), prefix.around(indices, lengths) if prefix else nullcontext():
            yield

    layerwise = LayerwiseCallback(
        lambda stack: make_policy(config, stack),
        importance=config.importance_metric_name,
        unit=config.selection_unit,
        emit=on_step,
        on_norms=(lambda step, norms: on_norms(layerwise.tensor_names, step, norms)) if on_norms else None,
        on_choice=prefix.take_choice if prefix else lambda lowest: None,
    )
    validation = Validation(
        model, evaluate, evaluation_steps(steps, config.batch_size, len(prepared.rows["validation"]))
    )
    trainer = StepTrainer(
        model=model,
        args=arguments(config, prepared.device, steps, checkpoints, place),
        rows=rows,
        pad_token_id=prepared.tokenizer.pad_token_id,
        most_tokens=config.tokens_per_micro_batch,
        passes=prepared.passes,
        check=check_here,
        around=around,
        remember=layerwise.remember,
        rewind=layerwise.rewind,
        disregard=layerwise.disregard,
        notify=lambda text: emit(Notice(level="warning", text=text)),
        callbacks=[
            *reporters(config.report_to, checkpoints.parent if checkpoints else None),
            StopTogether(check),
            *([prefix] if prefix else []),
            layerwise,
            validation,
            Seal(noted),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    emit(Phase(name="training"))
    try:
        if fitted.steps < steps:
            trainer.train(resume_from_checkpoint=str(place) if place else None)
        else:
            # The Trainer would look at the number of steps only after one more.
            validation.load(place)
        fitted.best_step, fitted.validation = validation.restore_best()
    except StopRequested:
        fitted.stopped, fitted.best_step = True, fitted.steps
    except (Diverged, *BREAKS) as error:
        fitted.broken = error if isinstance(error, Diverged) else explanation(error)
        fitted.best_step, fitted.validation = validation.restore_best()
    finally:
        layerwise.release()
        if prefix:
            prefix.remove()
    return fitted


def planned_steps(config: RunConfig, rows: int) -> int:
    """Optimizer steps of a run over so many training rows.

    Raises:
        ConfigError: a batch cannot be shared out to the processes that train together.
    """
    if config.per_device_train_batch_size % world_size():
        raise ConfigError(
            f"A batch of {config.per_device_train_batch_size} cannot be shared out to {world_size()} processes.",
            f"Set the batch size to a multiple of {world_size()}.",
        )
    return config.steps(rows)


def _refuse_what_this_model_cannot_do(config: RunConfig, units: Sequence[Layer], *, layers: int, steps: int) -> None:
    """Makes a policy as the training will, before anything long begins."""
    depth, sizes = tuple(unit.depth for unit in units), tuple(unit.size for unit in units)
    make_policy(config, Stack(depth, layers, sizes, lambda: (1.0,) * len(units), steps))


def _started(config: RunConfig, prepared: Prepared, steps: int, units: Sequence[Layer]) -> RunStarted:
    path, layers = layer_modules(prepared.model)
    # peft's own count, since a quantised weight holds two numbers a byte.
    trainable, total = prepared.model.get_nb_trainable_parameters()
    return RunStarted(
        layers=len(layers),
        layer_names=[f"{path}.{i}" for i in range(len(layers))],
        parameters_trainable=trainable,
        parameters_total=total,
        device=prepared.device.name,
        dtype=prepared.device.dtype,
        steps=steps,
        corpus_sizes={part: len(prepared.rows[part]) for part in prepared.rows},
        labels=list(prepared.corpus.labels),
        unit=config.selection_unit,
        unit_names=[unit.name for unit in units] if config.selection_unit != "layer" or len(units) != len(layers) else [],
        weights=prepared.weights.origin,
    )


class StopTogether(TrainerCallback):
    """Asks before each step whether any process was told to stop; with one process, so do the micro-batches."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raises StopRequested on all processes alike."""
        told = False
        try:
            self._check()
        except StopRequested:
            told = True
        if any_rank(told):
            raise StopRequested


class Diverged(ModelError):
    """Something is no finite number any more."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(
            f"{what} has not been a finite number since step {step}.",
            "Lower the learning rate or lengthen the warm-up; the best weights before that are kept, if any were scored.",
        )
