"""What seeds agree on, by hand."""

from __future__ import annotations

import json

import pytest

from irtuning.errors import RunError
from irtuning.insight.stability import Repeat, interval, stability


def repeat(run, selections, f1=None, layers=3):
    return Repeat(run, layers, selections, {} if f1 is None else {"macro_f1": f1, "weighted_f1": f1 + 0.1, "accuracy": 0})


def test_three_runs_by_hand():
    found = stability([
        repeat("a", [(0, 1), (1, 2)], 0.4),
        repeat("b", [(0, 1), (1,)], 0.5),
        repeat("c", [(2,), (1, 2)], 0.6),
    ])  # fmt: skip
    assert found.runs == ("a", "b", "c")
    # Shares: a .5 1 .5, b .5 1 0, c 0 .5 1
    assert found.share_mean == pytest.approx((1 / 3, 2.5 / 3, 0.5))
    assert found.share_spread == pytest.approx((0.288675, 0.288675, 0.5), abs=1e-6)
    # a, b: 1 and 1/2; a, c: 0 and 1; b, c: 0 and 1/2
    assert found.stepwise == pytest.approx((0.75 + 0.5 + 0.25) / 3)
    # a, b: 1.5 / 2; a, c: 1 / 2.5; b, c: .5 / 2.5
    assert found.frequency == pytest.approx((0.75 + 0.4 + 0.2) / 3)
    assert set(found.metrics) == {"macro_f1", "weighted_f1"}
    assert found.metrics["weighted_f1"].mean == pytest.approx(0.6)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["layers"] == 3


def test_the_interval_is_students():
    found = interval([0.4, 0.5, 0.6])
    # t of 0.95 with 2 degrees of freedom is 2.91999; 0.1 / sqrt(3) is 0.0577350
    assert (found.mean, found.spread) == (pytest.approx(0.5), pytest.approx(0.1))
    assert found.low == pytest.approx(0.5 - 2.919986 * 0.0577350, abs=1e-6)
    assert found.high == pytest.approx(0.5 + 2.919986 * 0.0577350, abs=1e-6)
    alone = interval([0.4])
    assert (alone.mean, alone.low, alone.high, alone.spread, alone.runs) == (0.4, None, None, None, 1)
    same = interval([0.4, 0.4])
    assert (same.low, same.high) == (0.4, 0.4)
    with pytest.raises(ValueError, match="no values"):
        interval([])


def test_a_run_without_figures_is_left_out_of_their_mean_alone():
    found = stability([repeat("a", [(0,)], 0.4), repeat("b", [(0,)]), repeat("c", [(0,)], 0.6)])
    assert found.metrics["macro_f1"].runs == 2
    assert found.metrics["macro_f1"].mean == pytest.approx(0.5)
    assert len(found.runs) == 3
    assert stability([repeat("a", [(0,)]), repeat("b", [(0,)])]).metrics == {}


def test_a_run_without_steps_has_no_overlap_step_by_step():
    assert stability([repeat("a", []), repeat("b", [(0,)])]).stepwise is None


def test_runs_that_cannot_be_compared_are_refused_in_a_sentence():
    with pytest.raises(RunError, match="'a' and 'c' cannot be compared: one chooses from 3 layers, the other from 6"):
        stability([repeat("a", [(0,)]), repeat("b", [(0,)]), repeat("c", [(0,)], layers=6)])
    with pytest.raises(RunError, match="two runs"):
        stability([repeat("a", [(0,)])])
