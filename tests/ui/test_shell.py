import re

import pytest

import app
from irtuning.insight.machine import MachineProbe
from irtuning.runs.launch import LocalLauncher
from irtuning.runs.store import RunStore
from irtuning.ui.pictures import Pictures
from irtuning.ui.shell import build_ui, first_run
from irtuning.ui.studio import Studio
from irtuning.ui.theme import STYLES, head, theme
from tests.simulated import simulate, write_run


class EmptyShelf:
    def list(self):
        return []

    def classify(self, before, after, adapter=""):
        raise AssertionError("nothing to classify with")


@pytest.fixture
def studio(tmp_path):
    store = RunStore(tmp_path / "runs", recorded=tmp_path / "recorded")
    return Studio(store, LocalLauncher(store), EmptyShelf(), MachineProbe(["false"]), lambda: True)


def test_a_visit_shows_the_run_asked_for_else_the_one_with_most_layers_that_was_recorded(studio):
    assert first_run(studio, "") == ""
    write_run(studio.store.recorded, "small-otter-0001", simulate(layers=6, steps=5))
    write_run(studio.store.recorded, "deep-otter-0002", simulate(layers=30, steps=5))
    write_run(studio.store.home, "own-otter-0003", simulate(layers=6, steps=5))
    assert first_run(studio, "") == "deep-otter-0002"
    assert first_run(studio, "own-otter-0003") == "own-otter-0003"
    assert first_run(studio, "../../etc") == "deep-otter-0002"


def test_a_link_to_a_run_that_is_gone_says_so(studio, monkeypatch):
    told = []
    monkeypatch.setattr("irtuning.ui.shell.gr.Warning", told.append)
    write_run(studio.store.home, "own-otter-0003", simulate(layers=6, steps=5))
    assert first_run(studio, "gone-otter-0009", tell=True) == ""
    assert first_run(studio, "own-otter-0003", tell=True) == "own-otter-0003"
    assert len(told) == 1
    assert "gone-otter-0009" in told[0]


def test_a_run_that_trains_now_comes_before_recorded_ones(studio):
    write_run(studio.store.recorded, "deep-otter-0002", simulate(layers=30, steps=5))
    alive = write_run(studio.store.home, "live-otter-0004", iter(list(simulate(layers=6, steps=5))[:-1]))
    from irtuning.runs.process import claim

    claim(alive)
    assert first_run(studio, "") == "live-otter-0004"


def test_scripts_find_the_five_endpoints_and_no_handler_of_a_page(studio):
    named = build_ui(studio).get_api_info()["named_endpoints"]
    assert set(named) == {"/classify", "/start_run", "/stop_run", "/run_events", "/list_runs"}


def test_the_page_names_no_other_host(studio):
    served = [head(), *(path.read_text() for path in STYLES)]
    assert not [found for part in served for found in re.findall(r"(?:https?:)?//[a-z][^\s\"')]*", part) if "www.w3.org" not in found]
    assert theme()._stylesheets == []


def test_leaving_the_app_says_how_to_stop_what_goes_on(tmp_path):
    from irtuning.runs.process import claim

    store = RunStore(tmp_path)
    write_run(tmp_path, "done-otter-0001", simulate(layers=6, steps=5))
    claim(write_run(tmp_path, "live-otter-0002", iter(list(simulate(layers=6, steps=5))[:-1])))
    (line,) = app.still_training(store)
    assert "live-otter-0002" in line
    assert "irtuning runs stop live-otter-0002" in line


def test_what_visitors_fetched_does_not_pile_up(studio):
    assert build_ui(studio).delete_cache == (3600, 24 * 3600)


def test_a_visit_to_the_train_page_draws_no_list_of_runs(studio, monkeypatch):
    write_run(studio.store.home, "own-otter-0003", simulate(layers=6, steps=5))
    drawn = []
    monkeypatch.setattr(Pictures, "of", lambda self, run: drawn.append(run) or "")
    visit = next(handler.fn for handler in build_ui(studio).fns.values() if getattr(handler.fn, "__name__", "") == "visit")
    visit("")
    assert drawn == []
    visit("?page=runs")
    assert drawn == ["own-otter-0003"]
