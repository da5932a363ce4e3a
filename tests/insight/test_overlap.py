"""Overlap of selections, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irtuning.insight.overlap import by_layer, frequencies, jaccard, stepwise, successive, weighted_jaccard

SELECTIONS = st.lists(st.integers(0, 7), max_size=8)


def test_jaccard_divides_what_both_hold_by_what_either_holds():
    assert jaccard((0, 1, 2), [1, 2, 3]) == 0.5
    assert jaccard((0, 1), (2, 3)) == 0
    assert jaccard([2, 1], (1, 2)) == 1
    assert jaccard((), (1,)) == 0
    assert jaccard((), ()) == 1


@given(SELECTIONS, SELECTIONS)
def test_jaccard_is_symmetric_and_1_for_the_same_alone(one, other):
    assert jaccard(one, other) == jaccard(other, one)
    assert (jaccard(one, other) == 1) == (set(one) == set(other))


def test_successive_steps_are_compared_with_their_next():
    assert successive([(0, 1), (0, 1), (1, 2), (3,)]) == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert successive([(0, 1)]) is None
    assert successive([]) is None


def test_two_runs_are_compared_in_the_steps_that_both_made():
    assert stepwise([(0, 1), (2,), (5,)], [(0, 1), (2, 3)]) == pytest.approx(0.75)
    assert stepwise([], [(1,)]) is None


def test_frequencies_are_shares_of_steps():
    assert frequencies([(0, 2), (2,), (), (2, 1)], 4).tolist() == [0.25, 0.25, 0.75, 0.0]
    assert frequencies([], 2).tolist() == [0, 0]
    with pytest.raises(ValueError, match="of a model of 2"):
        frequencies([(0, 2)], 2)
    with pytest.raises(ValueError, match="of a model of 2"):
        frequencies([(-1, 0)], 2)


def test_weighted_jaccard_divides_minima_by_maxima():
    assert weighted_jaccard([1.0, 0.5, 0.0], [0.5, 0.5, 0.5]) == pytest.approx(1.0 / 2.0)
    assert weighted_jaccard(np.zeros(3), np.zeros(3)) == 1
    assert weighted_jaccard([1, 0], [0, 1]) == 0
    with pytest.raises(ValueError, match="2 and of 3"):
        weighted_jaccard([1, 0], [0, 1, 1])


@given(SELECTIONS, SELECTIONS)
def test_of_single_selections_the_weighted_overlap_is_the_plain_one(one, other):
    assert weighted_jaccard(frequencies([one], 8), frequencies([other], 8)) == pytest.approx(jaccard(one, other))


def test_a_layer_is_chosen_where_one_of_its_parts_is():
    assert by_layer([(0, 1), (3,), ()], [0, 0, 1, 1]) == [(0,), (1,), ()]
