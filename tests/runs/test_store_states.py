"""States and places of runs as the store tells them, with real processes and locks."""

import json
import subprocess
import sys

import pytest

from irtuning.errors import RunError
from irtuning.events import Failed, Finished, Phase
from irtuning.runs.lock import store_lock
from irtuning.runs.process import claim
from irtuning.runs.store import EventLog


def dead_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_states(store, small):
    queued = store.create(small, queued=True)
    mine = store.create(small)
    ended = store.create(small, queued=True)
    EventLog(store.path(ended)).append(Finished())
    gone = store.create(small, queued=True)
    claim(store.path(gone), dead_process())
    assert [store.state(run) for run in (queued, mine, ended, gone)] == ["queued", "running", "finished", "lost"]
    assert store.summary(gone)["advice"]
    EventLog(store.path(gone)).append(Failed(what="It broke.", advice="Mend it."))
    assert store.summary(gone)["state"] == "failed"
    assert store.summary(gone)["what"] == "It broke."


def test_a_run_whose_process_waits_for_another_is_queued(store, small):
    first, second = store.create(small), store.create(small)
    with store_lock(store.home, first):
        EventLog(store.path(first)).append(Phase(name="loading"))
        assert (store.state(first), store.state(second)) == ("running", "queued")
        assert (store.place(first), store.place(second)) == (0, 1)
    assert store.state(second) == "running"


def test_an_ending_written_at_the_last_moment_is_no_loss(store, small, monkeypatch):
    """The events are read, then the run ends and its process goes, then it is asked for: it has not been lost."""
    from irtuning.runs import listing

    run = store.create(small)

    def dies_now(record):
        if store.read_events(run)[1][-1]["kind"] != "finished":
            EventLog(store.path(run)).append(Finished())
        return False

    monkeypatch.setattr(listing, "is_alive", dies_now)
    assert store.state(run) == "finished"


def test_places_follow_the_age_of_those_that_wait(store, small):
    runs = [store.create(small, queued=True) for _ in range(3)]
    assert [store.place(run) for run in runs] == [0, 1, 2]
    store.request_stop(runs[1])
    assert [store.place(run) for run in runs] == [0, 0, 1]
    assert store.summary(runs[1])["place"] is None


def test_a_run_that_trains_on_another_host_is_neither_deleted_nor_taken_up(store, small):
    run = store.create(small)
    path = store.path(run) / "process.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "host": "another", "pid": 1}))
    with store_lock(store.home, run):
        assert store.state(run) == "running"
        with pytest.raises(RunError, match="is running"):
            store.delete(run)
        with pytest.raises(RunError, match="is running"):
            store.reopen(run, EventLog(store.path(run)))
    assert store.state(run) == "lost"
