"""What a step costs, and the best within it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irtuning.config import RunConfig
from irtuning.errors import ConfigError
from irtuning.tuning.budget import BudgetPolicy, SettledPolicy, StepCost, best_within, least_share
from irtuning.tuning.methods import make_policy
from irtuning.tuning.policies import Stack

SIX = StepCost(tuple(range(6)), 6, forward=1.0, backward=1.0, adapters=0.5)


def test_what_a_step_costs_by_hand():
    """Six layers: a full step is 6 + 6 + 3 = 15; with 4 and 5 alone 6 + 2 + 1; with 0 and 5 it is 6 + 6 + 1; with none 6."""
    assert SIX.of(range(6)) == 1.0
    assert SIX.of([4, 5]) == pytest.approx(9 / 15)
    assert SIX.of([0, 5]) == pytest.approx(13 / 15)
    assert SIX.of([]) == pytest.approx(6 / 15)


@given(st.lists(st.floats(0.01, 10), min_size=6, max_size=6), st.floats(0.5, 1.0))
def test_no_set_within_the_allowance_is_worth_more(scores, allowance):
    chosen = best_within(scores, SIX, allowance)
    every = [c for n in range(1, 7) for c in combinations(range(6), n) if SIX.of(c) <= allowance + 1e-9]
    assert SIX.of(chosen) <= allowance + 1e-6
    assert sum(scores[u] for u in chosen) == pytest.approx(max(sum(scores[u] for u in c) for c in every))


def test_where_nothing_fits_the_last_unit_trains():
    assert best_within([1.0] * 6, SIX, 0.1) == (5,)


@pytest.mark.parametrize("share", [0.7, 0.75, 0.9])
@pytest.mark.parametrize("layers", [6, 30])
def test_the_budget_holds_on_average_and_low_layers_train_in_some_steps(share, layers):
    cost = StepCost(tuple(range(layers)), layers)
    policy = BudgetPolicy(cost, share=share)
    chance = np.random.default_rng(0)
    spent, trained = [], np.zeros(layers)
    for _ in range(200):
        chosen = policy.choose().layers
        spent.append(cost.of(chosen))
        trained[list(chosen)] += 1
        scores = chance.random(layers)
        policy.observe([float(scores[i]) if i in chosen else None for i in range(layers)])
    assert np.mean(spent) <= share + 0.01
    assert np.mean(spent) > share - (0.12 if layers == 6 else 0.04)
    assert (trained >= 50).all()
    assert trained[-1] > trained[0]


@pytest.mark.parametrize(("layers", "every"), [(6, 4), (30, 4), (30, 10)])
def test_the_least_share_is_what_a_budget_of_nothing_comes_to(layers, every):
    cost = StepCost(tuple(range(layers)), layers)
    policy = BudgetPolicy(cost, share=0.1, whole_every=every)
    spent = [cost.of(policy.choose().layers) for _ in range(10 * every)]
    assert np.mean(spent) == pytest.approx(least_share(cost, every))


def test_a_budget_that_cannot_be_kept_is_refused_with_the_least_that_can():
    def made(**values):
        config = RunConfig(model_name="minilm", **values).resolve()
        return make_policy(config, Stack(tuple(range(30)), 30, (1,) * 30, lambda: (1.0,) * 30, 100))

    with pytest.raises(ConfigError, match=r"takes 0\.60 of a full one at least.* 0\.61 or more"):
        made(budget=0.5)
    with pytest.raises(ConfigError, match="every 1 steps"):
        made(budget=0.9, refresh_every=1)
    with pytest.raises(ConfigError, match=r"budget of 0\.02"):
        made(budget=0.02, settle_after=0.1, cache_prefix=True)
    for fine in ({"budget": 0.61}, {"budget": 0.5, "refresh_every": 20}, {"budget": 0.1, "settle_after": 0.1, "cache_prefix": True}):
        made(**fine)


def test_parts_of_layers_cost_their_layers_depth():
    blocks = StepCost(tuple(i // 2 for i in range(12)), 6)
    assert blocks.of([2, 3]) == blocks.of([3, 4]) > blocks.of([4, 5])


def test_what_is_settled_on_has_the_most_mean_importance_within_the_budget_and_stays():
    """Of a full step's 15, 10 pay for two units at or above layer 3: 3 and 5 by mean, 4 and 5 by what was measured last."""
    policy = SettledPolicy(SIX, share=10 / 15, steps=2)
    for scores in ([1, 1, 1, 9, 1, 1], [1, 1, 1, 1, 2, 3]):
        assert policy.choose().layers == (0, 1, 2, 3, 4, 5)
        policy.observe([float(score) for score in scores])
    assert policy.choose().layers == (3, 5)
    policy.observe([None, None, None, 0.1, None, 0.1])
    assert policy.choose().layers == (3, 5)


@pytest.mark.parametrize(("share", "whole"), [(0.25, 10), (0.5, 20), (0.001, 1)])
def test_all_train_in_the_share_of_the_run_that_was_asked_for(share, whole):
    config = RunConfig(budget=0.7, settle_after=share).resolve()
    policy = make_policy(config, replace(Stack.plain(6), steps=40))
    sizes = []
    for _ in range(40):
        sizes.append(len(policy.choose().layers))
        policy.observe([1.0] * 6)
    assert sizes[:whole] == [6] * whole
    assert set(sizes[whole:]) == {sizes[-1]} != {6}
