"""A choice that has not changed for fifty steps is said once."""

from __future__ import annotations

import itertools
import json

import pytest

from irtuning.tuning import lockin
from irtuning.tuning.lockin import LockInWatch
from tests.tuning.test_training import record, settings


def test_it_is_said_once_in_the_fiftieth_step_and_again_after_a_change():
    watch = LockInWatch("ir", "gradient", "layer")
    said = [watch.take(step, [3, 4], 6) for step in range(1, 121)]
    assert [i + 1 for i, text in enumerate(said) if text] == [50]
    assert "since step 1" in said[49]
    assert "2 of 6 layers" in said[49]
    said = [watch.take(step, [1, 4] if step < 140 else [1, 5], 6) for step in range(121, 200)]
    assert [i + 121 for i, text in enumerate(said) if text] == [189]


def test_a_resumed_run_says_it_where_the_undisturbed_one_would():
    before, after = LockInWatch("ir", "gradient", "layer"), LockInWatch("ir", "gradient", "layer")
    assert not any(before.take(step, [3, 4], 6) for step in range(1, 31))
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    said = [after.take(step, [3, 4], 6) for step in range(31, 70)]
    assert [i + 31 for i, text in enumerate(said) if text] == [50]
    assert "since step 1" in said[19]


@pytest.mark.parametrize("metric", ["gradient", "cosine"])
def test_only_what_the_metric_can_have_is_advised(metric):
    watch = LockInWatch("ir", metric, "layer")
    said = "".join(watch.take(step, [1], 6) for step in range(1, 60))
    assert ("refresh every" in said) == (metric == "gradient")
    assert ("measured in every step" in said) == (metric == "cosine")


@pytest.mark.parametrize(
    ("method", "metric", "selected"),
    [("full", "gradient", [0, 1]), ("fixed", "gradient", [0]), ("ir", "weight", [0]), ("ir", "gradient", [0, 1])],
)
def test_a_choice_that_cannot_change_is_not_watched(method, metric, selected):
    watch = LockInWatch(method, metric, "layer")
    assert not any(watch.take(step, selected, 2) for step in range(1, 200))


def test_a_choice_that_is_meant_to_stay_is_not_watched():
    watch = LockInWatch("ir", "gradient", "layer", settles=True)
    assert not any(watch.take(step, [0], 2) for step in range(1, 200))


def test_a_choice_that_stands_is_said_in_the_run(tmp_path, model_dirs, corpus_dir, monkeypatch):
    monkeypatch.setattr(lockin, "LONG", 4)
    _, events = record(settings(model_dirs, corpus_dir, max_steps=24), tmp_path / "a")
    due, streak, last = [], 0, None
    for event in (e for e in events if e.kind == "step"):
        streak, last = streak + 1 if event.selected == last else 1, event.selected
        due += [event.step] * (streak == 4 and len(last) < 4)
    said = [before.step for before, event in itertools.pairwise(events) if event.kind == "notice" and "locked in" in event.text]
    assert said == due
    assert due
