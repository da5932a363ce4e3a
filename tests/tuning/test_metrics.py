import tracemalloc

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


def test_the_interval_is_that_of_rows_drawn_one_by_one():
    random = np.random.default_rng(3)
    true = random.integers(0, 4, 400)
    one, two = (np.where(random.random(400) < share, true, random.integers(0, 4, 400)) for share in (0.6, 0.5))
    found = difference(true, one, two, labels=4, seed=1, draws=4000)
    rows = np.random.default_rng(9).integers(0, 400, size=(4000, 400))
    gaps = macro_f1(true[rows], one[rows], 4) - macro_f1(true[rows], two[rows], 4)
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(gaps, [0.025, 0.975]), abs=0.01)
    assert found["macro_f1"] == pytest.approx(f1_score(true, one, average="macro") - f1_score(true, two, average="macro"))


def test_many_rows_need_no_memory_of_their_own():
    true = np.arange(400_000) % 5
    tracemalloc.start()
    found = difference(true, true, np.zeros_like(true), labels=5, seed=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found["rows"], found["clear"]) == (400_000, True)
    assert peak < 200 * 2**20
