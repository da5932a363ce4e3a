"""IST against numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from irtuning.tuning.ist import ISTPolicy, sigmoid, updated


def test_the_update_by_hand():
    """Losses 1, 2, 3: rewards exp(-1), exp(-2), exp(-3) less their mean 0.184334; p (1 - p) is 0.25 at I = 0."""
    found = updated(np.zeros(4), [(0, 1), (1, 2), (2, 3)], [1.0, 2.0, 3.0])
    rewards = [0.367879 - 0.184334, 0.135335 - 0.184334, 0.049787 - 0.184334]
    expected = [rewards[0], rewards[0] + rewards[1], rewards[1] + rewards[2], rewards[2]]
    assert found == pytest.approx([10 * 0.25 * r for r in expected], abs=1e-4)


def test_p_is_taken_before_the_update():
    start = np.array([0.5, -1.0])
    found = updated(start, [(0,), (0,)], [0.2, 0.9])
    p = 1 / (1 + math.exp(-0.5))
    mean = (math.exp(-0.2) + math.exp(-0.9)) / 2
    both = (math.exp(-0.2) - mean) + (math.exp(-0.9) - mean)
    assert found[0] == pytest.approx(0.5 + 10 * both * p * (1 - p))
    assert found[1] == -1.0


def test_a_loss_that_is_not_finite_gives_no_reward():
    assert np.isfinite(updated(np.zeros(3), [(0,), (1,), (2,)], [math.nan, math.inf, 1.0])).all()


@pytest.mark.parametrize(("layers", "trained", "damped"), [(32, 8, 16), (6, 1, 3), (3, 1, 1), (1, 1, 1)])
def test_shares_are_at_least_one_layer(layers, trained, damped):
    policy = ISTPolicy(layers)
    for step in range(21):
        sets = policy.probes()
        assert bool(sets) == (step in (10, 20))
        if sets:
            assert {len(s) for s in sets} == {damped}
            assert len(set(sets)) == len(sets) == min(3, math.comb(layers, damped))
            policy.reward([1.0] * len(sets))
        assert len(policy.choose().layers) == trained


def test_a_layer_whose_damping_leaves_the_loss_low_trains_more_rarely():
    policy = ISTPolicy(4, count=1, seed=0)
    policy.importance = np.array([4.0, 0.0, 0.0, -4.0])
    drawn = [policy.choose().layers[0] for _ in range(400)]
    weights = sigmoid(-policy.importance) / sigmoid(-policy.importance).sum()
    assert [drawn.count(i) / 400 for i in range(4)] == pytest.approx(weights.tolist(), abs=0.08)
