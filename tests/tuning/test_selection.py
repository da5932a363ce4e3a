import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irtuning.tuning.selection import select_layers

TRACES = json.loads((Path(__file__).parents[1] / "data" / "selection_traces.json").read_text())
SCORES = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=48)


@pytest.mark.parametrize("case", TRACES, ids=lambda c: f"{c['metric']}-{c['layers']}-{c['kind']}-{c['splits']}")
def test_agrees_with_the_reference(case):
    selection = select_layers(case["scores"], metric=case["metric"], splits=case["splits"])
    assert list(selection.layers) == case["selected"]


def test_two_groups_by_hand():
    # 10 layers, five low and five high: the least variance is 5 against 5, found at index 4; the code trains one more.
    scores = [1, 9, 1.1, 9.1, 1.2, 9.2, 1.3, 9.3, 1.4, 9.4]
    reference = select_layers(scores)
    assert reference.rounds[0].minimum == 4
    assert reference.rank == 4
    assert reference.layers == (1, 3, 5, 7, 8, 9)
    assert reference.threshold == 1.4
    assert select_layers(scores, boundary="exact").layers == (1, 3, 5, 7, 9)
    assert reference.low_variance == pytest.approx(np.var([1, 1.1, 1.2, 1.3, 1.4]))
    assert reference.curve[4] == pytest.approx(reference.low_variance + reference.high_variance)
    assert len(reference.curve) == 9


def test_a_single_layer_is_always_selected():
    assert select_layers([3.0]).layers == (0,)
    assert select_layers([3.0]).curve == ()


def test_cosine_takes_the_low_side_and_may_be_empty_after_two_splits():
    assert select_layers([0.1, 0.2, 0.9, 0.91, 0.92, 0.93], metric="cosine").layers[0] == 0
    assert set(select_layers([5, 4, 3, 2, 1, 0], metric="cosine", splits=3).layers) <= {3, 4, 5}


@pytest.mark.parametrize("bad", [[float("nan"), 1.0], [float("inf"), 1.0], [[1.0], [2.0]]])
def test_refuses_what_is_no_finite_list(bad):
    with pytest.raises(ValueError, match="finite"):
        select_layers(bad)


def test_refuses_no_split_at_all():
    with pytest.raises(ValueError, match="splits"):
        select_layers([1.0, 2.0], splits=0)


@given(SCORES)
def test_the_high_side_holds_nothing_lower_than_what_it_leaves_out(scores):
    layers = select_layers(scores).layers
    assert list(layers) == sorted(set(layers))
    left = [s for i, s in enumerate(scores) if i not in layers]
    if left:
        assert min(scores[i] for i in layers) >= max(left)


@given(SCORES)
def test_exact_trains_one_layer_fewer(scores):
    reference, exact = select_layers(scores), select_layers(scores, boundary="exact")
    if reference.rank is not None:
        assert len(exact.layers) == len(reference.layers) - 1
        assert set(exact.layers) < set(reference.layers)


CLUSTERS = [0.0] * 10 + [5.0] * 5 + [9.0] * 5


@pytest.mark.parametrize(("metric", "splits", "boundary", "kept"), [
    # Twenty scores, so layers 8 to 14 may begin the high side; least variance is left between the zeros and the rest.
    ("gradient", 1, "exact", range(10, 20)), ("gradient", 1, "reference", range(9, 20)),
    ("weight", 1, "exact", range(10, 20)), ("weight", 1, "reference", range(9, 20)),
    # The low side: exact keeps one more.
    ("cosine", 1, "exact", range(10)), ("cosine", 1, "reference", range(9)),
    # Again among the fives and nines; for the reference with one zero left among them.
    ("gradient", 2, "exact", range(15, 20)), ("gradient", 2, "reference", range(14, 20)),
])
def test_three_groups_of_layers_are_split_as_by_hand(metric, splits, boundary, kept):
    assert select_layers(CLUSTERS, metric=metric, splits=splits, boundary=boundary).layers == tuple(kept)


@given(SCORES, st.sampled_from(["gradient", "cosine", "weight"]), st.sampled_from(["reference", "exact"]))
def test_a_second_split_is_a_first_one_of_what_was_kept(scores, metric, boundary):
    first = select_layers(scores, metric=metric, boundary=boundary).layers
    second = select_layers([scores[i] for i in first], metric=metric, boundary=boundary).layers
    assert select_layers(scores, metric=metric, splits=2, boundary=boundary).layers == tuple(first[i] for i in second)


@given(st.lists(st.floats(0, 1e3, allow_nan=False), min_size=12, max_size=40))
def test_a_second_split_stays_inside_the_first(scores):
    assert set(select_layers(scores, splits=2).layers) <= set(select_layers(scores).layers)


@given(st.lists(st.integers(1, 10**6), min_size=32, max_size=32, unique=True))
def test_thirty_two_layers_train_twelve_to_twenty_one(scores):
    assert 12 <= len(select_layers(scores).layers) <= 21
