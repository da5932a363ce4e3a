import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irtuning import events
from irtuning.events import Evaluated, Failed, Notice, Phase, SplitRound, Step, from_line, read_lines, to_line

STEP = {
    "step": 3,
    "epoch": 0.5,
    "loss": 1.25,
    "learning_rate": 1e-4,
    "scores": [0.1, None],
    "selected": [0],
    "moved": [0],
    "seconds": 0.2,
    "tokens": 12,
    "memory_mib": 100.0,
}


def test_a_step_is_written_with_all_its_fields():
    line = json.loads(to_line(Step(**STEP, split=[SplitRound(rank=1, low_variance=0.0, high_variance=2.0)])))
    assert line["kind"] == "step"
    assert line["scores"] == [0.1, None]
    assert line["split"] == [{"rank": 1, "low_variance": 0.0, "high_variance": 2.0}]
    assert "started" not in line


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_becomes_null(value):
    step = Step(**{**STEP, "loss": value, "scores": [value, 1.0]})
    line = json.loads(to_line(step), parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    assert line["loss"] is None
    assert line["scores"] == [None, 1.0]
    inside = Evaluated(step=1, subset="test", of="floor", metrics={"macro_f1": value}, confusion=[])
    assert json.loads(to_line(inside))["metrics"] == {"macro_f1": None}


@given(st.floats(allow_nan=False, allow_infinity=False), st.text())
def test_round_trip_keeps_every_bit(number, text):
    step = Step(**{**STEP, "loss": number, "scores": [number, None]})
    assert from_line(to_line(step)) == step
    notice = Notice(text=text)
    assert from_line(to_line(notice)) == notice
    assert "\n" not in to_line(notice)


def test_a_torn_last_line_is_left_for_later():
    whole = to_line(Phase(name="loading")).encode() + b"\n"
    torn = to_line(Phase(name="training")).encode()[:20]
    used, found = read_lines(whole + torn)
    assert used == len(whole)
    assert [e["name"] for e in found] == ["loading"]


def test_a_broken_line_in_the_middle_is_skipped():
    data = b'{"kind": "pha\n' + to_line(Failed(what="x")).encode() + b"\n[1]\n"
    used, found = read_lines(data)
    assert used == len(data)
    assert [e["kind"] for e in found] == ["failed"]


def test_a_line_that_is_no_event_is_refused():
    for line in ('{"kind": "party"}', "no json", '{"kind": "phase", "name": "dreaming"}'):
        with pytest.raises(ValueError, match="no event"):
            from_line(line)


def test_endings_are_kinds():
    assert set(events.ENDINGS) == {"finished", "stopped", "failed"}
