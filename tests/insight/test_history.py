"""The fold of events into arrays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irtuning.events import Evaluated, Finished, Notice, Phase, Resumed, Step
from irtuning.insight.history import RunHistory, chosen
from tests.simulated import plain, simulate


def step(number, scores, selected, **values):
    return plain(Step(
        step=number, epoch=0.1, loss=values.get("loss", 1.5), learning_rate=1e-3, scores=scores, selected=selected,
        moved=values.get("moved", selected), seconds=0.5, tokens=10, memory_mib=100.0, time=float(number),
    ))[0]


def evaluated(number):
    return plain(Evaluated(step=number, subset="validation", of="network", metrics={"macro_f1": 0.5}, confusion=[[1]]))[0]


def test_scores_not_measured_are_nan_and_masks_follow_the_lists():
    history = RunHistory()
    history.feed([step(1, [0.5, None, 2.0], [0, 2], moved=[2]), step(2, [None, 1.0, None], [1], loss=None)])
    assert len(history) == 2
    assert history.layers == 3
    np.testing.assert_array_equal(history.scores, [[0.5, np.nan, 2.0], [np.nan, 1.0, np.nan]])
    np.testing.assert_array_equal(history.selected, [[True, False, True], [False, True, False]])
    np.testing.assert_array_equal(history.moved, [[False, False, True], [False, True, False]])
    assert history.losses[0] == 1.5
    assert np.isnan(history.losses[1])
    np.testing.assert_array_equal(history.medians, [1.25, 1.0])


def test_carried_scores_are_the_last_before_the_step_and_1000_where_never_measured():
    history = RunHistory()
    history.feed([step(1, [0.5, None, None], [0]), step(2, [0.7, 0.9, None], [0, 1])])
    assert history.carried(1).tolist() == [1000.0, 1000.0, 1000.0]
    assert history.carried(2).tolist() == [0.5, 1000.0, 1000.0]
    assert history.carried(3).tolist() == [0.7, 0.9, 1000.0]
    assert history.last_measured(3).tolist() == [1, 1, -1]


def test_a_resumed_run_forgets_what_lay_beyond():
    history = RunHistory()
    history.feed([step(n, [float(n), None], [0]) for n in (1, 2, 3)])
    history.feed([evaluated(2), evaluated(3), *plain(Finished())])
    history.feed(plain(Resumed(from_step=2)))
    assert history.steps.tolist() == [1, 2]
    assert len(history.splits) == 2
    assert [event["step"] for event in history.evaluations] == [2]
    assert history.ending is None
    history.feed([step(3, [9.0, None], [0])])
    assert history.carried(4).tolist() == [9.0, 1000.0]


def test_a_step_told_again_replaces_the_former_one():
    history = RunHistory()
    history.feed([step(1, [1.0], [0]), step(2, [2.0], [0]), step(2, [5.0], [0])])
    assert history.steps.tolist() == [1, 2]
    assert history.scores[:, 0].tolist() == [1.0, 5.0]


def test_header_phases_notices_and_ending_are_kept_and_unknown_kinds_passed_over():
    history = RunHistory()
    history.feed(plain(Phase(name="waiting", started="2026-01-01T00:00:00+00:00"), Notice(text="hear"), Finished(what="done")))
    history.feed([{"kind": "of a later version", "time": 1.0}])
    assert history.started == "2026-01-01T00:00:00+00:00"
    assert [event["name"] for event in history.phases] == ["waiting"]
    assert history.notices[0]["text"] == "hear"
    assert history.ending["what"] == "done"
    assert len(history) == 0
    assert history.layers == 0
    assert history.medians.shape == (0,)


def test_row_of_a_step_that_is_not_there():
    history = RunHistory()
    history.feed([step(1, [1.0], [0])])
    assert history.row(1) == 0
    with pytest.raises(KeyError):
        history.row(2)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 90), max_size=6))
def test_how_events_are_cut_into_portions_does_not_matter(cuts):
    events = plain(*simulate(layers=5, steps=70))
    whole, parts = RunHistory(), RunHistory()
    whole.feed(events)
    edges = [0, *sorted(cuts), len(events)]
    for start, end in itertools.pairwise(edges):
        parts.feed(events[start:end])
    np.testing.assert_array_equal(whole.scores, parts.scores)
    np.testing.assert_array_equal(whole.selected, parts.selected)
    np.testing.assert_array_equal(whole.times, parts.times)
    assert whole.splits == parts.splits
    assert whole.ending == parts.ending
    assert len(whole) == 70


def test_what_was_chosen_leaves_out_what_a_resumed_run_forgot():
    steps = [step(1, [1.0, None], [0]), step(2, [1.0, 2.0], [0, 1]), *plain(Resumed(from_step=1)), step(2, [None, 2.0], [1])]
    assert chosen(steps) == [[0], [1]]
    assert chosen([]) == []
