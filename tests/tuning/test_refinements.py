"""Remedies for lock-in around a policy, by hand-made scores."""

from __future__ import annotations

import numpy as np
import pytest

from irtuning.tuning.policies import FixedPolicy, TopKPolicy
from irtuning.tuning.refinements import Exploring, Refreshed, Relative


def test_all_units_train_in_the_first_step_and_every_so_many():
    policy = Refreshed(FixedPolicy([1]), 4, 3)
    assert [policy.choose().layers for _ in range(7)] == [
        (0, 1, 2, 3), (1,), (1,), (0, 1, 2, 3), (1,), (1,), (0, 1, 2, 3),
    ]  # fmt: skip


def test_measuring_again_brings_a_locked_out_unit_back():
    locked = TopKPolicy(3, count=1)
    policy = Refreshed(locked, 3, 5)
    policy.choose()
    policy.observe([5.0, 1.0, 1.0])
    assert [policy.choose().layers for _ in range(4)] == [(0,)] * 4
    policy.choose()
    policy.observe([5.0, 1.0, 9.0])
    assert policy.choose().layers == (2,)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_exploring_exchanges_its_share_and_keeps_the_count(share):
    policy = Exploring(FixedPolicy([0, 1, 2]), 12, share)
    chosen = [set(policy.choose().layers) for _ in range(400)]
    assert {len(c) for c in chosen} == {3}
    exchanged = np.mean([len(c - {0, 1, 2}) for c in chosen])
    assert exchanged == pytest.approx(3 * share, abs=0.12)


def test_exploring_has_nothing_to_exchange_where_all_train():
    assert Exploring(FixedPolicy([0, 1]), 2, 1.0).choose().layers == (0, 1)


def test_relative_to_a_fixed_number_a_unit():
    inner = TopKPolicy(3, count=1)
    policy = Relative(inner, 3, [10.0, 1.0, 1.0])
    policy.observe([9.0, 2.0, 1.0])
    assert inner.scores.tolist() == pytest.approx([0.9, 2.0, 1.0])
    assert policy.choose().layers == (1,)


def test_relative_to_its_own_mean_tells_what_is_unusual_for_a_unit():
    inner = TopKPolicy(2, count=1)
    policy = Relative(inner, 2)
    for _ in range(5):
        policy.observe([8.0, 1.0])
    assert inner.scores.tolist() == [1.0, 1.0]
    policy.observe([8.0, 2.0])
    assert policy.choose().layers == (1,)
    policy.observe([None, None])
    assert inner.scores[1] > 1.5
