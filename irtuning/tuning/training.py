"""train(config, emit) -> TrainResult: one whole run of the engine, from texts to a saved adapter and its scores.

Knows no run folders, no pages and no rivals: whatever else happens between encoding and training is the caller's.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from irtuning.catalogue import MODELS
from irtuning.config import RunConfig
from irtuning.errors import ConfigError, CorpusError, StopRequested, StudioError
from irtuning.events import CheckpointSaved, Evaluated, Notice, Phase
from irtuning.revisions.corpora import Corpus, load_corpus
from irtuning.tuning import adapters
from irtuning.tuning.breaking import explained
from irtuning.tuning.card import FILE as ORIGIN
from irtuning.tuning.card import Origin, read_origin, write_card
from irtuning.tuning.checkpoints import latest
from irtuning.tuning.device import forget_peak_memory, peak_memory_mib
from irtuning.tuning.fitting import Emit, OnNorms, fit, settings_of
from irtuning.tuning.methods import refuse_unfit
from irtuning.tuning.metrics import score
from irtuning.tuning.preparing import Prepared, columns_of, prepare
from irtuning.tuning.quantised import bits_of
from irtuning.tuning.ranks import first_rank, join_others
from irtuning.tuning.reporting import require
from irtuning.tuning.weights import Weights


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
    on_norms: OnNorms | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
) -> TrainResult:
    """Trains an adapter and scores it on the test part, which is touched once.

    Args:
        config: what nobody set is filled in with what works best for the model.
        emit: takes typed events as they happen.
        output_dir: folder that gets adapter, head, tokenizer and `irtuning.json`; an adapter that is there is replaced.
        corpus: texts to train on instead of those the config names.
        should_stop: asked between micro-batches and evaluation batches.
        before_training: called with the corpus once the model stands.
        on_norms: takes (tensor names, step, one gradient norm a tensor) after each step.
        checkpoints: folder for checkpoints to resume from, every `save_steps`; None: none are written.
        resume: go on from the newest whole checkpoint there, from the start where there is none.

    Raises:
        StudioError: something about model, corpus or settings is wrong, or the folder holds something else than an adapter;
            the message is fit to show.
    """
    emit = emit or (lambda event: None)
    began = time.perf_counter()

    def check() -> None:
        if should_stop():
            raise StopRequested

    join_others()
    forget_peak_memory()
    config = config.resolve()
    refuse_unfit(config)
    require(config.report_to)
    _refuse_foreign(Path(output_dir))
    found = latest(checkpoints) if checkpoints else None
    if found and not resume:
        raise ConfigError(
            f"{checkpoints.name!r} holds checkpoints of another training.", "Go on with that one (resume=True), or name a new folder."
        )
    if found and (other := _changed(found[1].get("settings"), config)):
        raise ConfigError(
            f"The training in {checkpoints.name!r} has another {other}.", "Go on with its own settings, or name a new folder."
        )
    emit(Phase(name="loading"))
    corpus = corpus or load_corpus(config.dataset_name or "", columns_of(config))
    for part in ("train", "validation", "test"):
        if not corpus.part(part):
            raise CorpusError(f"The corpus {corpus.name!r} has no rows in its {part} part.", "Give each part some.")
    for text in corpus.notices:
        emit(Notice(level="warning", text=text))
    check()
    with explained():
        prepared = prepare(config, corpus, emit, check)
    result = TrainResult(config, list(corpus.labels), prepared.weights)
    with explained():
        fitted = fit(
            config,
            prepared,
            emit=emit,
            check=check,
            before_training=before_training,
            on_norms=on_norms,
            checkpoints=checkpoints,
            resume_from=found,
        )
    result.stopped, broken = fitted.stopped, fitted.broken
    result.steps, result.best_step = fitted.steps, fitted.best_step
    result.validation, result.layers_trained = fitted.validation, fitted.layers_trained
    if result.best_step and first_rank():
        emit(Phase(name="saving"))
        result.adapter_dir = Path(output_dir)
        try:
            with explained():
                _save(prepared, result)
        except StudioError:
            if broken:
                raise broken from broken.__cause__
            raise
        emit(CheckpointSaved(step=result.best_step, best=not result.stopped))
    if broken:
        raise broken
    if not result.stopped and result.steps:
        try:
            with explained():
                _test(prepared, result, emit, check)
        except StopRequested:
            result.stopped = True
    result.seconds = round(fitted.seconds_before + time.perf_counter() - began, 3)
    result.peak_memory_mib = peak_memory_mib(prepared.device.device)
    return result


def _changed(before: dict[str, Any] | None, config: RunConfig) -> str:
    """The settings in which a checkpoint's training differs, in words; empty where it is the same or does not tell of them."""
    now = settings_of(config)
    return ", ".join(name.replace("_", " ") for name, value in (before or {}).items() if name in now and now[name] != value)


def _test(prepared: Prepared, result: TrainResult, emit: Emit, check: Callable[[], None]) -> None:
    emit(Phase(name="evaluating"))
    result.probabilities = prepared.probabilities("test", check)
    result.test, result.confusion = score(prepared.truth("test"), result.probabilities, result.labels)
    emit(Evaluated(step=result.best_step, subset="test", of="network", metrics=result.test, confusion=result.confusion))
    if result.adapter_dir:
        write_card(result.adapter_dir, read_origin(result.adapter_dir).model_copy(update={"metrics": result.test}))


def _refuse_foreign(folder: Path) -> None:
    """Does nothing where the adapter's folder is to be made, is empty or holds an adapter: all else in it would be lost."""
    if not folder.exists() or (folder / ORIGIN).is_file() or (folder.is_dir() and not any(folder.iterdir())):
        return
    raise ConfigError(
        f"{folder.name or str(folder)!r} is there already and is no adapter of this studio.", "Name a new folder for the adapter."
    )


def _save(prepared: Prepared, result: TrainResult) -> None:
    """Writes the adapter's folder in one move: a process that dies meanwhile leaves no half of one, at worst none."""
    folder, name = result.adapter_dir, result.config.model_name
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".adapter-", dir=folder.parent))
    old = scratch.with_name(f"{scratch.name}-old")
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
            bits=bits_of(result.config),
            corpus=prepared.corpus.name,
            corpus_fingerprint=prepared.corpus.fingerprint,
            columns={name: column for name, column in asdict(columns_of(result.config)).items() if column is not None},
            adapter=result.config.adapter_name,
            method=result.config.tuning_method,
            step=result.best_step,
            stopped=result.stopped,
        )
        write_card(scratch, origin)
        if folder.exists():
            folder.rename(old)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
