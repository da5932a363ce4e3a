"""What the Runs page shows of a run, and what a public host leaves out."""

import json

import pytest

from irtuning.events import Finished, to_line
from irtuning.runs.store import RunStore
from irtuning.ui.pictures import Pictures
from irtuning.ui.runs import RunsPage, download
from irtuning.ui.studio import Studio
from tests.browser.quick_worker import WRONG, closing
from tests.simulated import simulate, write_run

RUN = "calm-heron-0a0a"


@pytest.fixture
def opened(tmp_path):
    """A function that opens the run on one's own machine or on a public host: (its report, which buttons it has)."""

    def show(*, corpus: str, public: bool):
        folder = write_run(tmp_path / "runs", RUN, simulate(layers=4, steps=3), config={"dataset_name": corpus})
        (folder / "metrics.json").write_text(json.dumps(closing()))
        studio = Studio(RunStore(tmp_path / "runs"), None, None, None, lambda: not public)
        values = RunsPage(None, None, [], studio).opened(RUN)
        return values[4], dict(zip(("again", "zip", "events", "delete"), [v.visible for v in values[6:10]], strict=True))

    return show


@pytest.mark.parametrize(("corpus", "public", "shown"), [
    ("mine.csv", False, True), ("mine.csv", True, False), ("starter", True, True),
])
def test_rows_of_an_uploaded_file_are_shown_on_ones_own_machine_alone(opened, corpus, public, shown):
    told, _ = opened(corpus=corpus, public=public)
    assert ("goes" in told) == shown
    assert WRONG["before"] not in told  # as markup


@pytest.mark.parametrize("public", [False, True])
def test_nobody_deletes_on_a_public_host(opened, public):
    _, buttons = opened(corpus="starter", public=public)
    assert buttons["delete"] is not public
    assert buttons["again"]
    assert buttons["events"]


def test_a_file_that_cannot_be_made_is_a_sentence_and_no_earlier_file(tmp_path):
    studio = Studio(RunStore(tmp_path / "runs"), None, None, None, lambda: True)
    for what in ("adapter", "events"):
        file, message = download(studio, "gone-heron-0b0b", what)
        assert file is None
        assert "There is no run called" in message


def test_a_list_that_is_as_it_was_is_not_sent_again(tmp_path):
    folder = write_run(tmp_path / "runs", RUN, iter(list(simulate(layers=4, steps=3))[:-1]))
    store = RunStore(tmp_path / "runs")
    page = RunsPage(None, None, [], Studio(store, None, None, None, lambda: True), Pictures(store))
    first = page.news("")
    assert RUN in first["rows"]
    assert page.news(first["stamp"]) == {"stamp": first["stamp"]}
    with (folder / "events.jsonl").open("a") as stream:
        stream.write(to_line(Finished(what="It is finished.")) + "\n")
    assert "finished" in page.news(first["stamp"])["rows"]


def test_a_run_that_is_not_there_is_a_sentence_above_the_list(tmp_path):
    studio = Studio(RunStore(tmp_path / "runs"), None, None, None, lambda: True)
    values = RunsPage(None, None, [], studio).opened("../outside")
    assert "There is no run called" in values[5]
    assert not values[2].visible
