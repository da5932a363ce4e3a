"""The live view's component: its endpoints answer, and refuse what is no question."""

from __future__ import annotations

import asyncio

import pytest

from irtuning.runs.store import RunStore
from irtuning.ui import live
from tests.simulated import simulate, write_run

RUN = "brisk-otter-3f2a"


@pytest.fixture
def view(tmp_path):
    write_run(tmp_path / "runs", RUN, simulate(layers=6, steps=10))
    write_run(tmp_path, "outside", simulate(layers=6, steps=10))
    stopped = []
    made = live.live_view(RunStore(tmp_path / "runs"), stop=lambda run: stopped.append(run) or {"run": run, "state": "running"})
    made.stopped, made.home = stopped, tmp_path
    return made


def poll(view, question):
    return asyncio.run(view.poll(question))


def test_answers(view):
    first = poll(view, {"run": RUN, "offset": 0, "wait": 0})
    assert first["reset"]
    assert first["head"]["layers"] == 6
    again = poll(view, {"run": RUN, "offset": first["offset"], "wait": 10})
    assert again == {"offset": first["offset"], "state": "finished", "adapter": False}
    assert view.explain_step({"run": RUN, "step": 5})["step"] == 5
    figures = view.skeletons({"layers": 6, "steps": 10, "theme": "dark", "wide": False})
    assert figures["live"]["layout"]["xaxis"]["range"] == [0.5, 10.5]
    assert figures["why"]["data"]
    assert view.stop_run({"run": RUN}) == {"state": "running"}
    assert view.stopped == [RUN]


@pytest.mark.parametrize(
    "question",
    [None, 7, "x", [], {}, {"run": 3}, {"run": ""}, {"run": "a" * 99}, {"run": "../outside", "offset": 0, "wait": 0},
     {"run": RUN, "offset": -1, "wait": 0}, {"run": RUN, "offset": "0", "wait": 0}, {"run": RUN, "offset": True, "wait": 0},
     {"run": RUN, "offset": 2**60, "wait": 0}, {"run": RUN, "offset": 0, "wait": 10**9}, {"run": RUN, "offset": 0.5, "wait": 0}],
)
def test_what_is_no_question_gets_one_sentence(view, question):
    answer = poll(view, question)
    assert set(answer) == {"error"}
    assert str(view.home) not in answer["error"]
    assert answer["error"].endswith(".")
    assert view.explain_step(question).keys() == {"error"}


@pytest.mark.parametrize("question", [None, {"layers": 0}, {"layers": 10**9, "steps": 1}, {"layers": 3, "steps": 0}])
def test_figures_of_an_impossible_size_are_refused(view, question):
    assert view.skeletons(question).keys() == {"error"}


def test_without_a_way_to_stop_nothing_is_stopped(tmp_path):
    write_run(tmp_path, RUN, simulate(layers=6, steps=10))
    assert live.live_view(RunStore(tmp_path)).stop_run({"run": RUN}) == {"error": "Runs cannot be stopped from here."}


def test_plotly_s_script_and_every_part_of_ours_are_there():
    assert live.plotly_script().is_file()
    assert live.plotly_script().name == "plotly.min.js"
    assert {path.stem for path in (live.ASSETS / "live").glob("*.js")} == set(live.SCRIPTS)
    assert "innerHTML" not in live.script()
    assert "http" not in live.script().replace("https://plotly", "")
