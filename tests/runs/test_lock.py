"""The store's lock: one at a time, who waits learns for whom, and a killed holder frees it."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from irtuning.errors import RunError, StopRequested
from irtuning.runs.launch import worker_environment
from irtuning.runs.lock import dispatch_lock, holder, store_lock
from irtuning.runs.process import claim

HERE = worker_environment(os.environ)
HOLD = """
import sys, time
from pathlib import Path
from irtuning.runs.lock import store_lock
from irtuning.runs.process import claim
home = Path(sys.argv[1])
(home / "slow-toad").mkdir(parents=True)
claim(home / "slow-toad")
with store_lock(home, "slow-toad"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock for the run slow-toad."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, env=HERE)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_who_has_it_is_known_while_it_is_held(tmp_path):
    (tmp_path / "brisk-otter").mkdir()
    claim(tmp_path / "brisk-otter")
    assert holder(tmp_path) == ""
    with store_lock(tmp_path, "brisk-otter"):
        assert holder(tmp_path) == "brisk-otter"
    assert holder(tmp_path) == ""


def test_the_second_waits_for_a_known_one_and_gives_up_when_asked(tmp_path, other):
    told, asked = [], []

    def stop():
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(StopRequested), store_lock(tmp_path, "late-hare", waiting=told.append, should_stop=stop):
        raise AssertionError("two at once")
    assert told == ["slow-toad"]


def test_a_killed_holder_frees_it(tmp_path, other, until):
    assert holder(tmp_path) == "slow-toad"
    got = threading.Event()

    def second():
        with store_lock(tmp_path, "late-hare"):
            got.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not got.wait(0.5)
    other.send_signal(signal.SIGKILL)
    assert got.wait(10)
    thread.join()


def test_what_a_killed_holder_left_behind_names_nobody(tmp_path, other):
    other.kill()
    other.wait()
    assert (tmp_path / ".lock").read_text() == "slow-toad"
    assert holder(tmp_path) == ""


def test_a_raise_inside_frees_it(tmp_path):
    with pytest.raises(KeyError), store_lock(tmp_path, "brisk-otter"):
        raise KeyError
    with store_lock(tmp_path, "late-hare", should_stop=lambda: True):
        pass


def test_only_one_dispatches(tmp_path):
    with dispatch_lock(tmp_path) as first, dispatch_lock(tmp_path, wait=False) as second:
        assert first
        assert not second


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"), store_lock(tmp_path / "file" / "runs", "brisk-otter"):
        pass


def test_a_run_of_another_host_has_the_lock_for_as_long_as_it_is_held(tmp_path):
    run = tmp_path / "brisk-otter"
    run.mkdir()
    (run / "process.json").write_text(json.dumps({"pid": 1, "started": 1.0, "host": "another"}))
    with store_lock(tmp_path, "brisk-otter"):
        assert holder(tmp_path) == "brisk-otter"
    (tmp_path / ".lock").write_text("brisk-otter")
    assert holder(tmp_path) == ""
