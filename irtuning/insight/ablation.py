"""Ablation: each layer's adapter switched off in turn, and what the classifier loses by it on the validation part. Numbers alone.

Knows neither how an adapter is switched off (that is the classifier's) nor where runs live.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from irtuning.config import RunConfig
from irtuning.errors import CorpusError
from irtuning.revisions.corpora import Columns, Corpus, Revision, load_corpus, refuse_changed
from irtuning.tuning.metrics import macro_f1

Pair = tuple[str, str]


class Layered(Protocol):
    """A classifier whose layers' adapters can be switched off (`irtuning.classify.Classifier`)."""

    labels: list[str]

    def logits_without_layers(self, pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
        """Logits with everything on, shape (pairs, labels), and with each layer off, shape (layers, pairs, labels)."""


@dataclass(frozen=True)
class Ablation:
    """What each layer's adapter is worth to a classifier.

    Attributes:
        rows: how many revisions were scored each time.
        loss, macro_f1: with nothing switched off; mean cross entropy in nats, and macro-F1.
        loss_change, macro_f1_change: with a layer off minus with nothing off, shape (layers,). A loss that rises and a macro-F1
            that falls say that the layer's adapter helps.
        seconds: it took; everything else is the same each time.
    """

    rows: int
    loss: float
    macro_f1: float
    loss_change: tuple[float, ...]
    macro_f1_change: tuple[float, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for strict JSON: what is not a finite number is None."""
        values = asdict(self)
        for name in ("loss_change", "macro_f1_change"):
            values[name] = [_finite(value) for value in values[name]]
        return {**values, "loss": _finite(self.loss), "macro_f1": _finite(self.macro_f1)}


def ablate(
    classifier: Layered, revisions: Sequence[Revision], *, clock: Callable[[], float] = time.perf_counter
) -> Ablation:
    """Switches each layer's adapter off in turn and scores the classifier on revisions; its head and its other layers stay on.

    Raises:
        CorpusError: there are no revisions, or one has a label that the classifier does not know.
    """
    began = clock()
    strange = sorted({r.label for r in revisions} - set(classifier.labels))
    if strange or not revisions:
        raise CorpusError(
            f"The adapter does not know the label {strange[0]!r}." if strange else "There is no revision to score.",
            "Take the corpus that it was trained on.",
        )
    truth = np.array([classifier.labels.index(r.label) for r in revisions])
    whole, without = classifier.logits_without_layers([(r.before, r.after) for r in revisions])
    logits = np.concatenate([whole[None], without])
    losses = cross_entropy(logits, truth)
    predicted = logits.argmax(axis=-1)
    scores = macro_f1(np.broadcast_to(truth, predicted.shape), predicted, len(classifier.labels))
    return Ablation(
        rows=len(truth),
        loss=float(losses[0]),
        macro_f1=float(scores[0]),
        loss_change=tuple((losses[1:] - losses[0]).tolist()),
        macro_f1_change=tuple((scores[1:] - scores[0]).tolist()),
        seconds=round(clock() - began, 3),
    )


def record(run: str, corpus: str, ablation: Ablation, shares: Sequence[float]) -> dict[str, Any]:
    """What a run's ablation.json holds.

    Args:
        shares: of the run's steps in which each layer trained, shape (layers,); empty where the run's events do not tell.

    Returns:
        Plain JSON values: run, corpus, subset, rows, loss, macro_f1, seconds, and layers, a list of {"layer" (from 0),
        "loss_change", "macro_f1_change", "trained_share" (or None)}.
    """
    values = ablation.to_dict()
    changes = list(zip(values.pop("loss_change"), values.pop("macro_f1_change"), strict=True))
    shares = shares if len(shares) == len(changes) else [None] * len(changes)
    return {
        "run": run,
        "corpus": corpus,
        "subset": "validation",
        **values,
        "layers": [
            {"layer": layer, "loss_change": loss, "macro_f1_change": f1, "trained_share": share}
            for layer, ((loss, f1), share) in enumerate(zip(changes, shares, strict=True))
        ],
    }


def cross_entropy(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean cross entropy in nats, in float64.

    Args:
        logits: shape (..., rows, labels). truth: label indices, shape (rows,).

    Returns:
        shape (...).
    """
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shifted, np.broadcast_to(truth[..., None], (*shifted.shape[:-1], 1)), axis=-1)[..., 0]
    return (np.log(np.exp(shifted).sum(axis=-1)) - chosen).mean(axis=-1)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def corpus_again(config: RunConfig, fingerprint: str) -> Corpus:
    """The corpus that a run was trained on, read once more.

    Args:
        config: the run's, with the real paths of local corpora. fingerprint: of the corpus its adapter was trained on.

    Raises:
        CorpusError: it is not there any more, cannot be read, or is another one now.
    """
    path = Path(config.dataset_name or "")
    shown = path.name if path.is_absolute() else config.dataset_name
    if path.is_absolute() and not path.exists():
        raise CorpusError(
            f"The corpus {shown!r} that the run was trained on is not there any more.", "Put it back where it was."
        )
    columns = Columns(config.before_column, config.after_column, config.label_column, config.doc_column)
    try:
        corpus = load_corpus(config.dataset_name or "", columns)
    except CorpusError as error:
        raise CorpusError(
            f"The corpus {shown!r} that the run was trained on cannot be read any more: {error.what}", error.advice
        ) from error
    refuse_changed(corpus, fingerprint)
    return corpus
