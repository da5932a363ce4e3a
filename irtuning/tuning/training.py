"""train(config, emit) -> TrainResult: one whole run of the engine, from texts to a saved adapter and its scores.

Knows no run folders, no pages and no rivals: whatever else happens between encoding and training is the caller's.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PrinterCallback, TrainingArguments

from irtuning.catalogue import MODELS
from irtuning.config import RunConfig
from irtuning.errors import StopRequested, StudioError
from irtuning.events import CheckpointSaved, Evaluated, Notice, Phase, RunStarted, Step
from irtuning.revisions.corpora import Corpus, load_corpus
from irtuning.tuning import adapters
from irtuning.tuning.batches import Rows
from irtuning.tuning.callback import LayerwiseCallback
from irtuning.tuning.card import Origin, write_card
from irtuning.tuning.device import Device, peak_memory_mib
from irtuning.tuning.layers import layer_modules
from irtuning.tuning.metrics import score
from irtuning.tuning.policies import make_policy
from irtuning.tuning.preparing import Prepared, columns_of, prepare
from irtuning.tuning.trainer import StepTrainer
from irtuning.tuning.validation import Validation, evaluation_steps
from irtuning.tuning.weights import Weights

Emit = Callable[[Any], None]


@dataclass
class TrainResult:
    """What a run gave.

    Attributes:
        config: the resolved choices. labels: intentions in the order of the network's outputs.
        adapter_dir: where the adapter lies, None where no whole step was made.
        stopped: the run was stopped; then nothing was evaluated any more.
        steps: optimizer steps made. best_step: the step whose weights were kept (the last one where stopped).
        validation, test: metrics, empty where not evaluated. confusion: of the test part.
        probabilities: of the test part, shape (rows, labels). layers_trained: steps in which each layer trained.
        seconds: of the whole run. peak_memory_mib: highest memory, resident on a CPU.
    """

    config: RunConfig
    labels: list[str]
    weights: Weights
    adapter_dir: Path | None = None
    stopped: bool = False
    steps: int = 0
    best_step: int = 0
    validation: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    probabilities: np.ndarray | None = None
    layers_trained: list[int] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_mib: float = 0.0


def train(
    config: RunConfig,
    emit: Emit | None = None,
    *,
    output_dir: Path | str = "adapter",
    corpus: Corpus | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    before_training: Callable[[Corpus], None] = lambda corpus: None,
    on_norms: Callable[[list[str], int, list[float]], None] | None = None,
) -> TrainResult:
    """Trains an adapter and scores it on the test part, which is touched once.

    Args:
        config: what nobody set is filled in with what works best for the model.
        emit: takes typed events as they happen.
        output_dir: folder that gets adapter, head, tokenizer and `irtuning.json`.
        corpus: texts to train on instead of those the config names.
        should_stop: asked between micro-batches and evaluation batches.
        before_training: called with the corpus once the model stands.
        on_norms: takes (tensor names, step, one gradient norm a tensor) after each step.

    Raises:
        StudioError: something about model, corpus or settings is wrong; the message is fit to show.
    """
    emit = emit or (lambda event: None)
    began = time.perf_counter()

    def check() -> None:
        if should_stop():
            raise StopRequested

    config = config.resolve()
    emit(Phase(name="loading"))
    corpus = corpus or load_corpus(config.dataset_name or "", columns_of(config))
    for text in corpus.notices:
        emit(Notice(level="warning", text=text))
    check()
    prepared = prepare(config, corpus, emit, check)
    result = TrainResult(config, list(corpus.labels), prepared.weights)
    try:
        _fit(config, prepared, result, emit, check, before_training, on_norms)
    except StopRequested:
        result.stopped = True
    except (RuntimeError, MemoryError) as error:
        raise _explain(error) from error
    if result.steps:
        emit(Phase(name="saving"))
        result.adapter_dir = Path(output_dir)
        _save(prepared, result)
        emit(CheckpointSaved(step=result.best_step, best=not result.stopped))
    if not result.stopped and result.steps:
        try:
            _test(prepared, result, emit, check)
        except StopRequested:
            result.stopped = True
    result.seconds = round(time.perf_counter() - began, 3)
    result.peak_memory_mib = peak_memory_mib(prepared.device.device)
    return result


def _fit(
    config: RunConfig,
    prepared: Prepared,
    result: TrainResult,
    emit: Emit,
    check: Callable[[], None],
    before_training: Callable[[Corpus], None],
    on_norms: Callable[[list[str], int, list[float]], None] | None,
) -> None:
    model, rows = prepared.model, Rows(prepared.rows["train"])
    per_epoch = -(-len(rows) // config.batch_size)
    steps = config.max_steps or max(1, round(per_epoch * config.num_train_epochs))
    path, layers = layer_modules(model)
    result.layers_trained = [0] * len(layers)
    emit(
        RunStarted(
            layers=len(layers),
            layer_names=[f"{path}.{i}" for i in range(len(layers))],
            parameters_trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
            parameters_total=sum(p.numel() for p in model.parameters()),
            device=prepared.device.name,
            dtype=prepared.device.dtype,
            steps=steps,
            corpus_sizes={part: len(prepared.rows[part]) for part in prepared.rows},
            labels=result.labels,
            weights=prepared.weights.origin,
        )
    )
    before_training(prepared.corpus)
    check()

    def on_step(event: Step) -> None:
        result.steps = event.step
        for layer in event.selected:
            result.layers_trained[layer] += 1
        emit(event)

    def evaluate(step: int) -> dict[str, Any]:
        probabilities = prepared.probabilities("validation", check)
        metrics, confusion = score(prepared.truth("validation"), probabilities, result.labels)
        emit(Evaluated(step=step, subset="validation", of="network", metrics=metrics, confusion=confusion))
        return metrics

    layerwise = LayerwiseCallback(
        lambda count: make_policy(config, count),
        emit=on_step,
        on_norms=(lambda step, norms: on_norms(layerwise.tensor_names, step, norms)) if on_norms else None,
    )
    when = evaluation_steps(steps, config.batch_size, len(prepared.rows["validation"]))
    validation = Validation(model, evaluate, when)
    trainer = StepTrainer(
        model=model,
        args=arguments(config, prepared.device, steps),
        rows=rows,
        pad_token_id=prepared.tokenizer.pad_token_id,
        most_tokens=config.tokens_per_micro_batch,
        check=check,
        callbacks=[layerwise, validation],
    )
    trainer.remove_callback(PrinterCallback)
    emit(Phase(name="training"))
    try:
        trainer.train()
        result.best_step, result.validation = validation.restore_best()
    except StopRequested:
        result.best_step = result.steps
        raise
    finally:
        layerwise.release(trainer.args)


def arguments(config: RunConfig, device: Device, steps: int) -> TrainingArguments:
    """The Trainer's arguments for a resolved config: nothing logged, saved or evaluated by the Trainer itself."""
    return TrainingArguments(
        output_dir="unused",
        max_steps=steps,
        per_device_train_batch_size=config.per_device_train_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup_steps=min(config.warmup_steps, steps),
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch",
        lr_scheduler_type="linear",
        seed=config.seed,
        bf16=device.dtype == "bfloat16",
        use_cpu=device.device == "cpu",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=device.device == "cuda",
        remove_unused_columns=False,
    )


def _test(prepared: Prepared, result: TrainResult, emit: Emit, check: Callable[[], None]) -> None:
    emit(Phase(name="evaluating"))
    result.probabilities = prepared.probabilities("test", check)
    result.test, result.confusion = score(prepared.truth("test"), result.probabilities, result.labels)
    emit(Evaluated(step=result.best_step, subset="test", of="network", metrics=result.test, confusion=result.confusion))


def _save(prepared: Prepared, result: TrainResult) -> None:
    """Writes the adapter's folder in one move: a process that dies meanwhile leaves no half of one."""
    folder, name = result.adapter_dir, result.config.model_name
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".adapter-", dir=folder.parent))
    scratch.chmod(0o755)
    try:
        adapters.save_adapter(prepared.model, prepared.tokenizer, scratch, prepared.weights.base_id)
        origin = Origin(
            labels=result.labels,
            encoding=prepared.encoding.to_dict(),
            model_name=name if name in MODELS else prepared.weights.base_id,
            base_id=prepared.weights.base_id,
            weights=prepared.weights.origin,
            dtype=prepared.device.dtype,
            corpus=prepared.corpus.name,
            corpus_fingerprint=prepared.corpus.fingerprint,
            method=result.config.tuning_method,
            step=result.best_step,
            stopped=result.stopped,
        )
        write_card(scratch, origin)
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _explain(error: Exception) -> StudioError:
    text = str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return StudioError(
            "The memory ran out.",
            "Lower tokens per micro-batch, the batch size or the maximum length, or take a smaller model.",
        )
    return StudioError(
        f"Training broke with {type(error).__name__}.", "Look at worker.log in the run's folder for the details."
    )
