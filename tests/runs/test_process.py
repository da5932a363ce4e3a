"""A process is told by its pid and its start; a dead one, a zombie and a pid given again are not the same one."""

import json
import os
import resource
import socket
import subprocess
import sys

import pytest

from irtuning.errors import RunError
from irtuning.runs.process import claim, identity, is_alive, is_elsewhere, read_process


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_this_process_lives():
    assert is_alive(identity(os.getpid()))


def test_a_pid_given_again_is_another_process():
    record = identity(os.getpid())
    assert not is_alive({**record, "ticks": record["ticks"] + 1})
    assert not is_alive({**record, "boot": "another"})
    assert not is_alive({"pid": record["pid"], "started": record["started"] - 5})


def test_pid_and_start_alone_are_enough():
    record = identity(os.getpid())
    assert is_alive({"pid": record["pid"], "started": record["started"]})


def test_a_clock_that_was_set_does_not_kill_it():
    assert is_alive({**identity(os.getpid()), "started": 1.0})


@pytest.mark.parametrize("record", [None, {}, {"pid": "1"}, {"pid": -1}, {"pid": 0}, {"pid": 2**40}, {"started": 1.0}])
def test_what_no_process_is(record):
    assert not is_alive(record)


def test_a_zombie_is_dead(sleeper):
    record = identity(sleeper.pid)
    assert is_alive(record)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # it has died, and nobody has taken note
    assert not is_alive(record)


def test_claiming_twice_does_no_harm(tmp_path):
    claim(tmp_path)
    claim(tmp_path)
    assert is_alive(read_process(tmp_path))


def test_nobody_claims_what_a_living_process_has(tmp_path, sleeper):
    claim(tmp_path, sleeper.pid)
    with pytest.raises(RunError, match="trained by another process"):
        claim(tmp_path)
    assert read_process(tmp_path)["pid"] == sleeper.pid


def test_what_a_dead_process_had_can_be_claimed(tmp_path, sleeper):
    claim(tmp_path, sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    claim(tmp_path)
    assert read_process(tmp_path)["pid"] == os.getpid()


def test_a_child_that_died_at_once_still_had_the_run(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    claim(tmp_path, child.pid)
    assert read_process(tmp_path)["pid"] == child.pid
    assert not is_alive(read_process(tmp_path))
    child.wait()


def test_a_damaged_record_is_none(tmp_path):
    (tmp_path / "process.json").write_text("[1")
    assert read_process(tmp_path) is None
    (tmp_path / "process.json").write_text(json.dumps([1]))
    assert read_process(tmp_path) is None


def test_a_process_of_another_host_is_not_seen_here_whatever_has_its_number():
    here = identity(os.getpid())
    there = {**here, "host": "another"}
    assert is_elsewhere(there)
    assert not is_alive(there)
    assert not is_elsewhere(here)
    assert not is_elsewhere({"pid": 1, "started": 1.0})
    assert socket.gethostname() not in json.dumps(here)


def test_a_claim_that_cannot_be_written_leaves_nothing(tmp_path):
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, kept[1]))
        with pytest.raises(OSError, match="too large"):
            claim(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    assert not (tmp_path / "process.json").exists()
