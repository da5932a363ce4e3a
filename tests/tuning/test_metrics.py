import numpy as np
import pytest
from sklearn.metrics import f1_score

from irtuning.tuning.metrics import difference, macro_f1, score

LABELS = ["a", "b", "c"]


def test_scores_by_hand():
    truth = [0, 0, 1, 1]
    probabilities = np.array([[0.9, 0.1, 0], [0.4, 0.6, 0], [0.2, 0.8, 0], [0.3, 0.7, 0]])
    metrics, confusion = score(truth, probabilities, LABELS)
    assert metrics["accuracy"] == 0.75
    assert confusion == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    # a: precision 1, recall 1/2 -> 2/3; b: precision 2/3, recall 1 -> 4/5; c never occurs and does not count
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert metrics["weighted_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert metrics["au_prc"] == pytest.approx(1.0)
    assert metrics["per_class"]["b"] == {
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "support": 2,
    }


def testmacro_f1_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    true, predicted = random.integers(0, 4, 60), random.integers(0, 4, 60)
    assert macro_f1(true[None], predicted[None], 5)[0] == pytest.approx(f1_score(true, predicted, average="macro"))


def test_a_difference_is_clear_only_where_its_interval_leaves_zero_out():
    truth = [0, 1] * 60
    good = list(truth)
    bad = [0] * 120
    clear = difference(truth, good, bad, labels=2, seed=1)
    assert clear["clear"]
    assert clear["low"] > 0
    assert clear["rows"] == 120
    same = difference(truth, good, good, labels=2, seed=1)
    assert not same["clear"]
    assert (same["macro_f1"], same["low"], same["high"]) == (0, 0, 0)
    assert difference(truth, bad, good, labels=2, seed=1)["macro_f1"] == pytest.approx(-clear["macro_f1"])
