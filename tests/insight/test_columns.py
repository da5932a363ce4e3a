"""Steps merged into columns."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from irtuning.insight.columns import MOST_CELLS, MOST_COLUMNS, column_width, merge_columns
from irtuning.insight.history import RunHistory
from tests.simulated import plain, simulate


def folded(**values):
    history = RunHistory()
    history.feed(plain(*simulate(**values)))
    return history


@given(steps=st.integers(1, 200_000), layers=st.integers(1, 200))
def test_width_is_the_least_power_of_two_that_fits(steps, layers):
    width = column_width(steps, layers)
    room = min(MOST_COLUMNS, MOST_CELLS // layers)
    assert width & (width - 1) == 0
    assert -(-steps // width) <= room
    assert width == 1 or -(-steps // (width // 2)) > room


def test_short_run_has_a_column_a_step():
    history = folded(layers=6, steps=40)
    columns = merge_columns(history)
    assert columns.width == 1
    assert columns.edges.tolist() == list(range(1, 42))
    np.testing.assert_array_equal(columns.norms, history.scores)
    np.testing.assert_array_equal(columns.trained, history.selected)


def test_merged_columns_are_means_over_what_was_measured():
    history = folded(layers=4, steps=10)
    columns = merge_columns(history, most_columns=3)
    assert columns.width == 4
    assert columns.edges.tolist() == [1, 5, 9, 11]
    np.testing.assert_array_equal(columns.trained[2], history.selected[8:].sum(axis=0))
    for column, rows in enumerate((slice(0, 4), slice(4, 8), slice(8, 10))):
        for layer in range(4):
            measured = [score for score in history.scores[rows, layer] if not np.isnan(score)]
            assert columns.measured[column, layer] == len(measured)
            if measured:
                np.testing.assert_allclose(columns.norms[column, layer], np.mean(measured))
            else:
                assert np.isnan(columns.norms[column, layer])
    np.testing.assert_allclose(columns.counts, [history.selected[rows].sum(axis=1).mean()
                                                for rows in (slice(0, 4), slice(4, 8), slice(8, 10))])


def test_no_step_is_no_column():
    columns = merge_columns(RunHistory())
    assert columns.norms.shape == (0, 0)
    assert columns.edges.tolist() == [1]


@settings(max_examples=15, deadline=None)
@given(steps=st.integers(1, 60), most=st.integers(2, 20))
def test_nothing_is_lost_by_merging(steps, most):
    history = folded(layers=3, steps=steps)
    columns = merge_columns(history, most)
    np.testing.assert_array_equal(columns.trained.sum(axis=0), history.selected.sum(axis=0))
    np.testing.assert_allclose(np.nansum(columns.norms * columns.measured, axis=0), np.nansum(history.scores, axis=0))
