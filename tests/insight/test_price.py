"""What a run cost, by hand."""

from __future__ import annotations

import json

from irtuning.events import Notice, Resumed, Step
from irtuning.insight.history import RunHistory
from irtuning.insight.price import RATIOS, Price, price_of, ratios
from tests.simulated import plain


def step(number, seconds, tokens, memory, selected, layers=4):
    return plain(Step(
        step=number, epoch=0.1, loss=1.0, learning_rate=1e-3, scores=[None] * layers, selected=selected, moved=[],
        seconds=seconds, tokens=tokens, memory_mib=memory,
    ))[0]  # fmt: skip


FULL = [step(1, 2.0, 500, 300.0, [0, 1, 2, 3]), step(2, 4.0, 1500, 400.0, [0, 1, 2, 3])]
LESS = [step(1, 1.0, 500, 200.0, [0]), step(2, 2.0, 500, 100.0, [1, 2])]


def price(events) -> Price:
    history = RunHistory()
    history.feed(events)
    return price_of(history)


def test_a_price_sums_seconds_and_tokens_and_takes_the_peak_of_memory():
    found = price([*plain(Notice(text="x")), *FULL])
    assert (found.steps, found.seconds, found.tokens) == (2, 6.0, 2000)
    assert (found.seconds_per_1000_tokens, found.peak_memory_mib, found.trained_share) == (3.0, 400.0, 1.0)
    assert price(LESS).trained_share == 3 / 8


def test_ratios_are_the_runs_figures_divided_by_the_references():
    assert ratios(price(LESS), price(FULL)) == {
        "seconds": 0.5, "tokens": 0.5, "seconds_per_1000_tokens": 1.0, "peak_memory_mib": 0.5, "trained_share": 0.375,
    }  # fmt: skip
    assert set(ratios(price(FULL), price(FULL)).values()) == {1.0}


def test_steps_that_were_made_anew_count_once():
    again = price([*FULL, *plain(Resumed(from_step=1)), step(2, 1.0, 1500, 350.0, [0])])
    assert (again.steps, again.seconds, again.tokens, again.peak_memory_mib) == (2, 3.0, 2000, 350.0)


def test_nothing_costs_nothing_and_divides_by_nothing():
    empty = price([])
    assert (empty.steps, empty.seconds, empty.tokens) == (0, 0.0, 0)
    assert (empty.seconds_per_1000_tokens, empty.peak_memory_mib, empty.trained_share) == (None, None, None)
    assert ratios(price(FULL), empty) == dict.fromkeys(RATIOS)
    assert ratios(empty, price(FULL))["seconds_per_1000_tokens"] is None
    json.dumps(empty.to_dict(), allow_nan=False)
