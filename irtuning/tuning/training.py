"""train(config, emit) -> TrainResult: one whole run of the engine, from texts to a saved adapter and its scores.

Knows no run folders, no pages and no rivals: whatever else happens between encoding and training is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PrinterCallback, TrainingArguments, set_seed
from transformers.utils import logging as hf_logging

from irtuning.config import RunConfig
from irtuning.errors import ConfigError, StopRequested, StudioError
from irtuning.events import CheckpointSaved, Evaluated, Notice, Phase, RunStarted, Step
from irtuning.revisions.corpora import Columns, Corpus, load_corpus
from irtuning.revisions.encoding import Encoding, make_encoding
from irtuning.tuning import adapters
from irtuning.tuning.batches import Row, Rows
from irtuning.tuning.callback import LayerwiseCallback
from irtuning.tuning.device import Device, choose_device, peak_memory_mib
from irtuning.tuning.layers import layer_modules
from irtuning.tuning.metrics import score
from irtuning.tuning.models import is_decoder, load_config, load_model, load_tokenizer
from irtuning.tuning.policies import make_policy
from irtuning.tuning.predicting import predict_logits, softmax
from irtuning.tuning.trainer import StepTrainer
from irtuning.tuning.validation import Validation, evaluation_steps
from irtuning.tuning.weights import Weights, find_weights

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


@dataclass
class _Prepared:
    """A model, its corpus as tokens, and what is needed to predict and save."""

    model: Any
    tokenizer: Any
    encoding: Encoding
    device: Device
    weights: Weights
    corpus: Corpus
    rows: dict[str, list[Row]]

    def truth(self, part: str) -> list[int]:
        return [row["labels"] for row in self.rows[part]]

    def probabilities(self, part: str, check: Callable[[], None]) -> np.ndarray:
        logits = predict_logits(
            self.model,
            self.rows[part],
            pad_token_id=self.tokenizer.pad_token_id,
            dtype=self.device.torch_dtype,
            check=check,
        )
        return softmax(logits)


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
    prepared = _prepare(config, corpus, emit, check)
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


def columns_of(config: RunConfig) -> Columns:
    """The columns a config names."""
    return Columns(config.before_column, config.after_column, config.label_column, config.doc_column)


def _prepare(config: RunConfig, corpus: Corpus, emit: Emit, check: Callable[[], None]) -> _Prepared:
    from irtuning.tuning.tokens import tokenise

    hf_logging.disable_progress_bar()
    hf_logging.set_verbosity_error()
    device = choose_device(config.device or "auto", config.dtype or "auto")
    weights = find_weights(config.model_name or "", use_instruction=bool(config.use_instruction))
    check()
    set_seed(config.seed or 0)
    tokenizer = load_tokenizer(weights)
    model = load_model(
        weights,
        tokenizer,
        list(corpus.labels),
        dtype=device.torch_dtype,
        device=device.torch_device,
        seed=config.seed or 0,
    )
    check()
    if config.max_length > (longest := getattr(model.config, "max_position_embeddings", config.max_length)):
        raise ConfigError(
            f"This model reads {longest} tokens at most.", f"Set the maximum length to {longest} or less."
        )
    model = adapters.add_lora(model, r=config.lora_r, alpha=config.lora_alpha, dropout=config.lora_dropout)
    emit(Phase(name="encoding"))
    encoding = make_encoding(
        use_instruction=bool(config.use_instruction),
        is_decoder=is_decoder(load_config(weights)),
        labels=corpus.labels,
        max_length=config.max_length,
    )
    rows: dict[str, list[Row]] = {}
    cut = 0
    for part in ("train", "validation", "test"):
        revisions = corpus.part(part)
        rows[part], was_cut = tokenise([(r.before, r.after) for r in revisions], encoding, tokenizer)
        cut += sum(was_cut)
        for row, revision in zip(rows[part], revisions, strict=True):
            row["labels"] = corpus.labels.index(revision.label)
        check()
    if cut:
        emit(
            Notice(
                level="info",
                text=f"{cut} pair{'s are' if cut > 1 else ' is'} longer than {config.max_length} tokens and cut around the change.",
            )
        )
    return _Prepared(model, tokenizer, encoding, device, weights, corpus, rows)


def _fit(
    config: RunConfig,
    prepared: _Prepared,
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
        args=_arguments(config, prepared.device, steps),
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


def _arguments(config: RunConfig, device: Device, steps: int) -> TrainingArguments:
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


def _test(prepared: _Prepared, result: TrainResult, emit: Emit, check: Callable[[], None]) -> None:
    emit(Phase(name="evaluating"))
    result.probabilities = prepared.probabilities("test", check)
    result.test, result.confusion = score(prepared.truth("test"), result.probabilities, result.labels)
    emit(Evaluated(step=result.best_step, subset="test", of="network", metrics=result.test, confusion=result.confusion))


def _save(prepared: _Prepared, result: TrainResult) -> None:
    from irtuning.tuning.card import Origin, write_card

    folder = result.adapter_dir
    folder.mkdir(parents=True, exist_ok=True)
    adapters.save_adapter(prepared.model, prepared.tokenizer, folder, prepared.weights.base_id)
    write_card(
        folder,
        Origin(
            labels=result.labels,
            encoding=prepared.encoding.to_dict(),
            model_name=shareable(result.config.model_name),
            base_id=prepared.weights.base_id,
            weights=prepared.weights.origin,
            dtype=prepared.device.dtype,
            corpus=prepared.corpus.name,
            corpus_fingerprint=prepared.corpus.fingerprint,
            method=result.config.tuning_method,
            step=result.best_step,
            stopped=result.stopped,
        ),
    )


def shareable(name: str | None) -> str:
    """A model's or corpus's name without a path of this machine: a local folder or file becomes its last name."""
    text = name or ""
    return (
        Path(text).expanduser().resolve().name
        if Path(text).expanduser().exists() or text.startswith((".", "/", "~"))
        else text
    )


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
