"""State, phase and progress from events and a process."""

import pytest

from irtuning.runs.status import head_facts, state_of, tail_facts


@pytest.mark.parametrize(
    ("ending", "alive", "waits", "state"),
    [
        ("", None, False, "queued"),
        ("", None, True, "queued"),
        ("", True, False, "running"),
        ("", True, True, "queued"),
        ("", False, False, "lost"),
        ("", False, True, "lost"),
        ("finished", False, False, "finished"),
        ("finished", True, False, "finished"),
        ("stopped", None, False, "stopped"),
        ("failed", False, True, "failed"),
    ],
)
def test_state(ending, alive, waits, state):
    assert state_of(ending, alive, waits) == state


def step(number, time=1.0):
    return {"kind": "step", "step": number, "time": time}


def test_head_and_tail_give_progress():
    head = [
        {"kind": "phase", "name": "waiting", "started": "2026-01-01"},
        {"kind": "run_started", "layers": 6, "steps": 90},
    ]
    facts = tail_facts(head_facts(head), [step(40, 8.0), step(41, 9.5), {"kind": "evaluated", "step": 41}])
    assert (facts.started, facts.layers, facts.steps, facts.step) == ("2026-01-01", 6, 90, 41)
    assert facts.phase == "training"
    assert facts.seconds == 9.5
    assert facts.ending == ""


def test_the_last_phase_counts():
    tail = [{"kind": "phase", "name": "training"}, step(3), {"kind": "phase", "name": "evaluating"}]
    assert tail_facts(head_facts([]), tail).phase == "evaluating"


def test_without_a_phase_in_the_tail_a_model_that_stands_trains():
    head = head_facts([{"kind": "run_started", "layers": 6, "steps": 90}])
    assert tail_facts(head, [{"kind": "evaluated", "step": 8}]).phase == "training"
    assert tail_facts(head_facts([]), []).phase == "waiting"


def test_an_ending_brings_its_words_and_a_later_notice_does_not_take_them():
    tail = [step(3), {"kind": "failed", "what": "It broke.", "advice": "Mend it."}, {"kind": "notice", "text": "x"}]
    facts = tail_facts(head_facts([]), tail)
    assert (facts.ending, facts.what, facts.advice) == ("failed", "It broke.", "Mend it.")


def test_what_goes_on_after_an_ending_has_not_ended():
    tail = [{"kind": "stopped", "what": "x"}, {"kind": "resumed", "from_step": 2}]
    facts = tail_facts(head_facts([]), tail)
    assert facts.ending == ""
    assert facts.step == 2
