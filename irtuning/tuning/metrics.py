"""Scores of a classifier: accuracy, AU-PRC, macro, weighted and per-class figures; and the difference of two classifiers.

Knows neither models nor texts: labels are integers, predictions are probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def score(
    truth: Sequence[int], probabilities: np.ndarray, labels: Sequence[str]
) -> tuple[dict[str, Any], list[list[int]]]:
    """Metrics and confusion of predictions.

    Args:
        truth: true label indices, shape (rows,).
        probabilities: shape (rows, labels), each row a distribution.
        labels: names, in the order of the columns.

    Returns:
        Metrics (accuracy, macro_f1, weighted_f1, au_prc, macro_precision, macro_recall, per_class of precision, recall, f1,
        support), and counts (rows: true, columns: predicted). Macro figures and AU-PRC (macro average precision) run over
        the labels that occur in `truth`, or are predicted for it (F1, precision, recall).
    """
    from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_fscore_support

    true = np.asarray(truth, dtype=int)
    indices = list(range(len(labels)))
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(true, predicted, labels=indices, zero_division=0)
    seen = [i for i in indices if support[i] or (predicted == i).any()]
    average = [average_precision_score(true == i, probabilities[:, i]) for i in indices if support[i]]
    total = max(int(support.sum()), 1)
    metrics = {
        "accuracy": float((predicted == true).mean()),
        "macro_f1": float(np.mean(f1[seen])),
        "weighted_f1": float((f1 * support).sum() / total),
        "au_prc": float(np.mean(average)),
        "macro_precision": float(np.mean(precision[seen])),
        "macro_recall": float(np.mean(recall[seen])),
        "per_class": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(labels)
        },
    }
    return metrics, confusion_matrix(true, predicted, labels=indices).tolist()


def difference(
    truth: Sequence[int], ours: Sequence[int], theirs: Sequence[int], *, labels: int, seed: int, draws: int = 2000
) -> dict[str, Any]:
    """Macro-F1 of `ours` minus that of `theirs`, with a paired bootstrap interval of 95 % over the rows.

    Args:
        truth, ours, theirs: label indices, shape (rows,).
        labels: how many there are.

    Returns:
        {"macro_f1", "low", "high", "rows", "clear"}; clear: the interval does not contain 0.
    """
    rows = np.stack([np.asarray(values, dtype=int) for values in (truth, ours, theirs)])
    # Rows with the same three labels are alike: drawing how many of each kind come up takes as much memory for a million rows.
    kinds, counts = np.unique(rows, axis=1, return_counts=True)
    true, one, two = (np.broadcast_to(values, (draws, len(values))) for values in kinds)
    drawn = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=draws)
    gaps = macro_f1(true, one, labels, drawn) - macro_f1(true, two, labels, drawn)
    low, high = np.quantile(gaps, [0.025, 0.975])
    gap = macro_f1(true[:1], one[:1], labels, counts[None]) - macro_f1(true[:1], two[:1], labels, counts[None])
    return {
        "macro_f1": float(gap[0]),
        "low": float(low),
        "high": float(high),
        "rows": int(counts.sum()),
        "clear": bool(low > 0 or high < 0),
    }


def macro_f1(true: np.ndarray, predicted: np.ndarray, labels: int, times: np.ndarray | int = 1) -> np.ndarray:
    """Macro-F1 over the last axis, over labels that occur on either side; shapes (draws, rows) -> (draws,).

    Args:
        times: how often each row counts, shape (draws, rows).
    """
    total, seen = np.zeros(len(true)), np.zeros(len(true))
    for label in range(labels):
        is_true, is_predicted = true == label, predicted == label
        there = (is_true * times).sum(axis=1) + (is_predicted * times).sum(axis=1)
        hits = ((is_true & is_predicted) * times).sum(axis=1)
        total += np.where(there > 0, 2 * hits / np.maximum(there, 1), 0.0)
        seen += there > 0
    return total / np.maximum(seen, 1)
