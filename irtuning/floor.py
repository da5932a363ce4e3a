"""The bag of edits, what a network must beat: logistic regression on words that went and came, and numbers of the edit.

No network, no pretrained anything, seconds on one core; scikit-learn is loaded when first used. Knows nothing of runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irtuning.revisions.diff import bare_words, edit_numbers, split_words
from irtuning.revisions.rows import Revision

if TYPE_CHECKING:
    import numpy as np

STRENGTHS = (0.1, 0.3, 1.0)
"""Inverse strengths of regularisation to choose from by validation rows."""
STRENGTH = 0.3
"""The one taken without validation rows."""
_LEAST_ROWS = 2
"""Training rows a changed word must occur in to count."""


def edit_words(before: str, after: str) -> set[str]:
    """`-word` for each word that went and `+word` for each that came, in lower case; the sign alone for a mere space."""
    return {
        f"{'-' if op == 'delete' else '+'}{word.strip().lower()}"
        for op, text in bare_words(before, after)
        if op != "equal"
        for word in split_words(text)
    }


@dataclass(frozen=True)
class Floor:
    """A trained bag of edits.

    Attributes:
        labels: names of the columns of `probabilities`.
        strength: inverse strength of regularisation that was taken.
    """

    labels: tuple[str, ...]
    strength: float
    _features: Any
    _model: Any

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """A distribution over the labels for each (before, after), shape (pairs, labels); 0 where never trained on."""
        import numpy as np

        found = np.zeros((len(pairs), len(self.labels)))
        if len(pairs):
            found[:, self._model.classes_] = self._model.predict_proba(self._features(pairs))
        return found


def train_floor(
    train: Sequence[Revision], labels: Sequence[str], seed: int, validation: Sequence[Revision] = ()
) -> Floor:
    """Trains the bag of edits.

    Args:
        train: rows with a label each, two different ones at least.
        labels: the order of the probabilities' columns.
        validation: rows to choose the regularisation by (macro-F1); without them it is fixed.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    features = _fit_features([(r.before, r.after) for r in train])
    # Columns in place of names: scikit-learn takes a name such as "7" for the number.
    column = {label: i for i, label in enumerate(labels)}
    x, y = features([(r.before, r.after) for r in train]), [column[r.label] for r in train]
    counts = Counter(y)
    # Rare labels count for more, but by the square root of their rarity alone: full balance gains their recall at the
    # cost of everybody else's.
    weights = {i: (len(y) / len(counts) / n) ** 0.5 for i, n in counts.items()}

    def fit(strength: float) -> Any:
        model = LogisticRegression(C=strength, class_weight=weights, max_iter=500, tol=1e-3, random_state=seed)
        return model.fit(x, y)

    if not validation:
        return Floor(tuple(labels), STRENGTH, features, fit(STRENGTH))
    held_x, held_y = features([(r.before, r.after) for r in validation]), [column[r.label] for r in validation]

    def tried(strength: float) -> tuple[float, Floor]:
        model = fit(strength)
        reached = f1_score(held_y, model.predict(held_x), average="macro", zero_division=0)
        return reached, Floor(tuple(labels), strength, features, model)

    return max((tried(strength) for strength in STRENGTHS), key=lambda pair: pair[0])[1]


def _fit_features(pairs: Sequence[tuple[str, str]]) -> Any:
    """A function of pairs to a sparse matrix (pairs, features), its words and scales taken from these pairs."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import StandardScaler

    names = list(edit_numbers("", ""))

    def numbers(some: Sequence[tuple[str, str]]) -> list[list[float]]:
        return [[found[name] for name in names] for found in (edit_numbers(*pair) for pair in some)]

    bags = [edit_words(*pair) for pair in pairs]
    counts = Counter(word for bag in bags for word in bag)
    vocabulary = sorted(word for word, n in counts.items() if n >= _LEAST_ROWS)
    bag = (
        CountVectorizer(analyzer=lambda pair: edit_words(*pair), vocabulary=vocabulary, dtype=float)
        if vocabulary
        else None
    )
    scale = StandardScaler().fit(numbers(pairs))

    def features(some: Sequence[tuple[str, str]]) -> Any:
        right = csr_matrix(scale.transform(numbers(some)))
        return hstack([bag.transform(some), right]).tocsr() if bag else right

    return features
