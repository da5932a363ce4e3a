"""One whole run in its folder: texts, floor, training, scores, files. The worker and the command line both call it.

Knows no processes, locks or queues; those are its callers'.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from irtuning import floor as floors
from irtuning.config import RunConfig
from irtuning.events import Evaluated, Finished, Notice, Phase, Stopped
from irtuning.revisions.corpora import Corpus, refuse_changed
from irtuning.runs.description import CONFIG, read_json
from irtuning.runs.log import FILE as EVENTS
from irtuning.runs.log import all_events
from irtuning.runs.norms import NormsFile
from irtuning.runs.stopping import ended_early
from irtuning.tuning.card import read_origin, write_card
from irtuning.tuning.checkpoints import FOLDER as CHECKPOINTS
from irtuning.tuning.checkpoints import latest_step
from irtuning.tuning.metrics import difference, score
from irtuning.tuning.training import Emit, TrainResult, train

WRONG_ROWS = 10


def conduct(
    run_dir: Path,
    config: RunConfig,
    emit: Emit,
    should_stop: Callable[[], bool],
    update_config: Callable[..., None],
    *,
    resume: bool = False,
) -> TrainResult:
    """Trains and scores in `run_dir`, writing adapter/, metrics.json and module_norms.jsonl; ends with its closing event.

    Args:
        config: resolved, with the real paths of local models and corpora.
        update_config: takes what became known of corpus and weights, for config.json.
        resume: go on from the newest whole checkpoint in checkpoints/, from the start where there is none.

    Raises:
        StudioError: the run cannot go on; no closing event was emitted then.
    """
    checkpoints = run_dir / CHECKPOINTS
    rival = _Floor(config.seed or 0, emit, told=_floor_told(run_dir))

    def before_training(corpus: Corpus) -> None:
        if resume and latest_step(checkpoints):
            refuse_changed(corpus, (read_json(run_dir / CONFIG).get("corpus") or {}).get("fingerprint", ""))
        update_config(
            corpus={
                "name": corpus.name,
                "fingerprint": corpus.fingerprint,
                "sizes": {part: len(corpus.part(part)) for part in ("train", "validation", "test")},
            }
        )
        rival.train(corpus)

    with NormsFile(run_dir / "module_norms.jsonl") as norms:
        result = train(
            config,
            emit,
            output_dir=run_dir / "adapter",
            should_stop=should_stop,
            before_training=before_training,
            on_norms=norms.take,
            checkpoints=checkpoints,
            resume=resume,
        )
    update_config(weights=result.weights.origin)
    if result.stopped:
        what = (
            f"The run was stopped at step {result.steps}; its adapter is saved and can be tried."
            if result.adapter_dir
            else ended_early(run_dir)
        )
        emit(Stopped(what=what))
        return result
    if same := _one_answer(result):
        emit(Notice(level="warning", text=same))
    closing = _closing(result, rival)
    _write_json(run_dir / "metrics.json", closing)
    origin = read_origin(result.adapter_dir)
    write_card(
        result.adapter_dir,
        origin.model_copy(update={"run": run_dir.name, "metrics": result.test, "floor": closing["floor"]}),
    )
    emit(Finished(what=_verdict(closing)))
    # Last: a run that is killed before it is told to have finished must find them when it goes on.
    shutil.rmtree(checkpoints, ignore_errors=True)
    return result


class _Floor:
    """The bag of edits, trained beside the network on the same rows."""

    def __init__(self, seed: int, emit: Emit, told: set[str]) -> None:
        self._seed, self._emit, self._told = seed, emit, told
        self.test: dict[str, Any] = {}
        self.confusion: list[list[int]] = []
        self.predicted: np.ndarray | None = None
        self.truth: list[int] = []
        self.corpus: Corpus | None = None

    def train(self, corpus: Corpus) -> None:
        """Trains it and emits its scores on validation and test."""
        self._emit(Phase(name="floor"))
        self.corpus = corpus
        bag = floors.train_floor(corpus.train, corpus.labels, self._seed, corpus.validation)
        for part in ("validation", "test"):
            revisions = corpus.part(part)
            truth = [corpus.labels.index(r.label) for r in revisions]
            probabilities = bag.probabilities([(r.before, r.after) for r in revisions])
            metrics, confusion = score(truth, probabilities, corpus.labels)
            if part not in self._told:
                self._emit(Evaluated(step=0, subset=part, of="floor", metrics=metrics, confusion=confusion))
            self.test, self.confusion, self.truth = metrics, confusion, truth
            self.predicted = probabilities.argmax(axis=1)


def _floor_told(run_dir: Path) -> set[str]:
    """Parts on which the events of a run tell the floor's score already."""
    return {
        event["subset"]
        for event in all_events(run_dir / EVENTS)
        if event["kind"] == "evaluated" and event.get("of") == "floor"
    }


def _closing(result: TrainResult, rival: _Floor) -> dict[str, Any]:
    ours = result.probabilities.argmax(axis=1)
    gap = difference(rival.truth, ours, rival.predicted, labels=len(result.labels), seed=result.config.seed or 0)
    trained = sum(result.layers_trained)
    return {
        "labels": result.labels,
        "network": result.test,
        "confusion": result.confusion,
        "validation": result.validation,
        "floor": rival.test,
        "floor_confusion": rival.confusion,
        "difference": gap,
        "wrong": _wrong_rows(result, rival),
        "seconds": result.seconds,
        "peak_memory_mib": result.peak_memory_mib,
        "best_step": result.best_step,
        "steps": result.steps,
        "layers_trained": result.layers_trained,
        "selected_fraction": trained / max(1, result.steps * len(result.layers_trained)),
    }


def _one_answer(result: TrainResult) -> str:
    """What to say where all held-out rows got the same label, as a network gives that never learnt or fell over; else empty."""
    answers = set(result.probabilities.argmax(axis=1).tolist())
    if len(answers) > 1 or len(result.probabilities) < 2:
        return ""
    return (
        f"The network gives every held-out revision the same intention, {result.labels[answers.pop()]}: it has not learnt to "
        "tell them apart. Try a lower learning rate, a longer warm-up or more passes."
    )


def _wrong_rows(result: TrainResult, rival: _Floor) -> list[dict[str, Any]]:
    """The test rows it got wrong with the most confidence."""
    revisions = rival.corpus.test
    predicted = result.probabilities.argmax(axis=1)
    sure = result.probabilities.max(axis=1)
    wrong = sorted(
        (i for i, r in enumerate(revisions) if result.labels[predicted[i]] != r.label), key=lambda i: -sure[i]
    )
    return [
        {
            "before": revisions[i].before,
            "after": revisions[i].after,
            "label": revisions[i].label,
            "predicted": result.labels[predicted[i]],
            "probability": round(float(sure[i]), 4),
        }
        for i in wrong[:WRONG_ROWS]
    ]


def _verdict(closing: dict[str, Any]) -> str:
    network, floor, gap = closing["network"]["macro_f1"], closing["floor"]["macro_f1"], closing["difference"]
    side = "above" if gap["macro_f1"] > 0 else "below"
    judged = side if gap["clear"] else "no clear difference to"
    return f"Macro-F1 {network:.3f} on {gap['rows']} held-out revisions, {judged} the bag of edits ({floor:.3f})."


def _write_json(path: Path, value: Any) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    scratch.replace(path)
