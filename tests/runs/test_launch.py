"""The launcher with real processes: order, stopping, crashes, kills, restarts, two apps at once."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from irtuning.config import RunConfig
from irtuning.errors import ConfigError, RunError
from irtuning.events import Failed, Finished
from irtuning.runs import launch
from irtuning.runs.launch import LocalLauncher, worker_environment
from irtuning.runs.lock import store_lock
from irtuning.runs.process import is_alive, read_process
from irtuning.runs.stopping import ask
from irtuning.runs.store import EventLog, RunStore

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
HERE = worker_environment(os.environ)
APP = """
import sys, time
from pathlib import Path
from irtuning.runs.launch import LocalLauncher
from irtuning.runs.store import RunStore
launcher = LocalLauncher(RunStore(Path(sys.argv[1])), command=[sys.executable, *sys.argv[2:]], poll_seconds=0.05)
launcher.start()
print("up", flush=True)
time.sleep(120)
"""


def kinds(store, run):
    return [event["kind"] for event in store.read_events(run)[1]]


def last(store, run):
    return store.read_events(run)[1][-1]


def trained(store, run):
    """How often a worker began to train this run."""
    path = store.path(run) / "worker.log"
    return path.read_text().count("trains") if path.exists() else 0


def pid_of(store, run):
    return read_process(store.path(run))["pid"]


def test_runs_train_one_after_another_in_their_order(store, launcher_of, small, until):
    launcher = launcher_of(start=False)
    given = [launcher.submit(small) for _ in range(3)]
    assert [answer["place"] for answer in given] == [0, 1, 2]
    runs = [answer["run"] for answer in given]
    seen = set()
    launcher.start()

    def over():
        states = [store.state(run) for run in runs]
        seen.add(tuple(states))
        return states == ["finished"] * 3

    until(over)
    assert all(states.count("running") <= 1 for states in seen)
    assert any(states == ("finished", "running", "queued") for states in seen)
    assert [trained(store, run) for run in runs] == [1, 1, 1]


def test_a_second_run_waits_and_can_be_cancelled(store, launcher_of, small, until):
    launcher = launcher_of("patient")
    first = launcher.submit(small)["run"]
    until(lambda: store.summary(first)["step"] > 1)
    second = launcher.submit(small)
    assert second["place"] == 1
    assert launcher.stop(second["run"]) == "stopped"
    assert store.state(first) == "running"
    launcher.stop(first)
    until(lambda: store.state(first) == "stopped")
    assert trained(store, second["run"]) == 0


def test_stop_is_heard_by_the_worker_itself(store, launcher_of, small, until):
    launcher = launcher_of("patient")
    run = launcher.submit(small)["run"]
    until(lambda: store.summary(run)["step"] > 1)
    assert launcher.stop(run) == "running"
    until(lambda: store.state(run) == "stopped")
    assert last(store, run)["what"].startswith("Stopped at step")
    assert kinds(store, run).count("stopped") == 1


@pytest.mark.parametrize(("mode", "phase"), [("deaf", "training"), ("deaf-early", "loading")])
def test_a_worker_that_hears_nothing_is_killed(store, launcher_of, small, until, mode, phase):
    launcher = launcher_of(mode)
    run = launcher.submit(small)["run"]
    until(lambda: store.summary(run)["phase"] == phase)
    pid = pid_of(store, run)
    for _ in range(5):
        assert launcher.stop(run) == "running"
    until(lambda: store.state(run) == "stopped")
    assert last(store, run)["what"] == "The run did not stop by itself and was ended. No adapter was saved."
    assert kinds(store, run).count("stopped") == 1
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert launcher.stop(run) == "stopped"


def test_the_next_run_starts_after_a_kill(store, launcher_of, small, until):
    launcher = launcher_of("deaf")
    first, second = launcher.submit(small)["run"], launcher.submit(small)["run"]
    until(lambda: store.summary(first)["step"] > 0)
    launcher.stop(first)
    until(lambda: store.state(first) == "stopped" and store.state(second) == "running")


def test_another_app_goes_on_pressing(store, launcher_of, small, until):
    first = launcher_of("deaf")
    run = first.submit(small)["run"]
    until(lambda: store.summary(run)["step"] > 0)
    first.close()
    first.stop(run)
    launcher_of("deaf", at=RunStore(store.home))
    until(lambda: store.state(run) == "stopped")


def test_a_worker_that_ends_without_a_word_has_failed(store, launcher_of, small, until):
    launcher = launcher_of("crash")
    run = launcher.submit(small)["run"]
    until(lambda: store.state(run) == "failed")
    ending = last(store, run)
    assert "status 3" in ending["what"]
    assert "worker.log" in ending["advice"]
    assert "out of luck" in (store.path(run) / "worker.log").read_text()


def test_a_command_that_does_not_exist_fails_the_run_and_the_next_has_its_turn(store, small, until):
    room = []
    with LocalLauncher(store, command=["/nowhere/python"], poll_seconds=0.05, make_room=lambda: room.append(1)) as launcher:
        runs = [launcher.submit(small)["run"] for _ in range(2)]
        until(lambda: [store.state(run) for run in runs] == ["failed"] * 2)
    assert "could not be started" in last(store, runs[0])["what"]
    assert room == [], "nothing started that would need it"


def test_a_run_that_starts_is_made_room_for_and_waits_for_nobody(store, launcher_of, small, until):
    leave, asked = threading.Event(), threading.Event()
    launcher = launcher_of(make_room=lambda: (asked.set(), leave.wait(60)))
    run = launcher.submit(small)["run"]
    until(asked.is_set)
    launcher.stop(run)
    until(lambda: store.state(run) == "stopped")
    leave.set()


def test_a_killed_worker_is_lost_and_leaves_no_zombie(store, launcher_of, small, until):
    launcher = launcher_of("patient")
    run = launcher.submit(small)["run"]
    after = launcher.submit(small)["run"]
    until(lambda: store.summary(run)["step"] > 1)
    pid = pid_of(store, run)
    os.kill(pid, signal.SIGKILL)
    until(lambda: store.state(run) == "lost")
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert store.summary(run)["what"]
    assert launcher.stop(run) == "lost"
    until(lambda: store.state(after) == "running")
    store.delete(run)


def test_a_line_torn_by_a_crash_does_not_hide_what_comes_after(store, launcher_of, small, until):
    launcher = launcher_of("torn")
    run = launcher.submit(small)["run"]
    until(lambda: store.state(run) == "lost")
    EventLog(store.path(run)).append(Failed(what="It broke."))
    assert store.state(run) == "failed"
    assert kinds(store, run)[-2:] == ["phase", "failed"]


def test_a_dead_worker_counts_as_dead_before_anybody_waited_for_it(store, launcher_of, small, until):
    launcher = launcher_of("patient")
    run = launcher.submit(small)["run"]
    until(lambda: store.summary(run)["step"] > 1)
    launcher.close()  # from now on nobody reaps
    os.kill(pid_of(store, run), signal.SIGKILL)
    until(lambda: store.state(run) == "lost")


def start_app(store, mode):
    app = subprocess.Popen(
        [sys.executable, "-c", APP, str(store.home), str(FAKE_WORKER), mode], stdout=subprocess.PIPE, env=HERE,
        # A shell that runs the tests in the background has them, and all they start, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    app.stdout.readline()
    return app


def test_a_killed_app_leaves_the_worker_and_the_next_app_goes_on(store, launcher_of, small, until):
    runs = [store.create(small, queued=True) for _ in range(2)]
    app = start_app(store, "patient")
    try:
        until(lambda: store.summary(runs[0])["step"] > 1)
    finally:
        app.kill()
        app.communicate()
    step = store.summary(runs[0])["step"]
    until(lambda: store.summary(runs[0])["step"] > step)
    assert [store.state(run) for run in runs] == ["running", "queued"]

    launcher = launcher_of("steps")
    launcher.stop(runs[0])
    until(lambda: [store.state(run) for run in runs] == ["stopped", "finished"])
    assert [trained(store, run) for run in runs] == [1, 1]


def test_app_and_worker_killed_is_lost_and_the_queue_goes_on(store, launcher_of, small, until):
    runs = [store.create(small, queued=True) for _ in range(2)]
    app = start_app(store, "patient")
    try:
        until(lambda: store.summary(runs[0])["step"] > 1)
    finally:
        app.kill()
        app.communicate()
    os.kill(pid_of(store, runs[0]), signal.SIGKILL)
    until(lambda: store.state(runs[0]) == "lost")
    assert store.state(runs[1]) == "queued"
    launcher_of("steps")
    until(lambda: store.state(runs[1]) == "finished")


def test_ctrl_c_on_the_app_does_not_reach_the_worker(store, small, until):
    run = store.create(small, queued=True)
    app = start_app(store, "patient")
    until(lambda: store.summary(run)["step"] > 1)
    pid = pid_of(store, run)
    assert os.getpgid(pid) != os.getpgid(app.pid)
    assert os.getsid(pid) == pid
    app.send_signal(signal.SIGINT)
    app.communicate()
    step = store.summary(run)["step"]
    until(lambda: store.summary(run)["step"] > step)


def test_two_apps_never_start_one_run_twice(store, launcher_of, small, until):
    launchers = [launcher_of("steps"), launcher_of("steps", at=RunStore(store.home))]
    runs = [launchers[number % 2].submit(small)["run"] for number in range(6)]
    until(lambda: all(store.state(run) == "finished" for run in runs), 40)
    assert [trained(store, run) for run in runs] == [1] * 6
    assert all(kinds(store, run).count("run_started") == 1 for run in runs)


def test_a_run_from_the_command_line_is_waited_for_and_never_started_by_the_app(store, launcher_of, small, until):
    launcher = launcher_of("steps")
    own = store.create(small)  # as the command line does: this process has it
    with store_lock(store.home, own):
        run = launcher.submit(small)
        assert run["place"] == 1
        with pytest.raises(AssertionError):
            until(lambda: store.state(run["run"]) != "queued", 0.6)
        assert trained(store, own) == 0
        EventLog(store.path(own)).append(Finished())
    until(lambda: store.state(run["run"]) == "finished")


def test_a_worker_started_by_hand_waits_for_the_lock(store, small, until):
    own = store.create(small)
    other = store.create(small, queued=True)
    with store_lock(store.home, own):
        worker = subprocess.Popen([sys.executable, str(FAKE_WORKER), "steps", str(store.path(other))], env=HERE)
        until(lambda: last(store, other).get("text") == own)
        assert store.state(other) == "queued"
    until(lambda: store.state(other) == "finished")
    assert worker.wait() == 0


def test_submit_refuses_what_cannot_be_right(store, launcher_of):
    launcher = launcher_of(start=False)
    with pytest.raises(ConfigError):
        launcher.submit(RunConfig(), preset="nothing")
    with pytest.raises(RunError, match="no run called"):
        launcher.stop("../x")
    assert store.list() == []


def test_the_launcher_makes_no_folder_before_a_run(store, launcher_of):
    launcher = launcher_of(start=False)
    launcher.tick()
    assert not store.home.exists()


def test_the_workers_environment():
    given = {"GRADIO_SERVER_NAME": "0.0.0.0", "PATH": "/bin", "PYTHONPATH": "/mine", "TOKENIZERS_PARALLELISM": "true"}
    made = worker_environment(given)
    assert not any(name.startswith("GRADIO_") for name in made)
    root = Path(__file__).parents[2]
    assert made["PYTHONPATH"] == f"{root}{os.pathsep}/mine"
    assert (made["HF_HUB_DISABLE_TELEMETRY"], made["TOKENIZERS_PARALLELISM"], made["PATH"]) == ("1", "false", "/bin")


def test_the_worker_can_be_imported_from_anywhere(tmp_path):
    (tmp_path / "random.py").write_text("raise SystemExit('the wrong random')")
    found = subprocess.run(
        [sys.executable, "-P", "-c", "import random, irtuning.runs.store"], cwd=tmp_path,
        env=worker_environment({"PATH": os.environ["PATH"]}), capture_output=True, check=False,
    )
    assert found.returncode == 0, found.stderr


def test_the_lock_is_free_after_a_kill(store, launcher_of, small, until):
    launcher = launcher_of("patient")
    run = launcher.submit(small)["run"]
    until(lambda: store.summary(run)["step"] > 1)
    record = read_process(store.path(run))
    os.kill(record["pid"], signal.SIGKILL)
    until(lambda: not is_alive(record))
    with store_lock(store.home, "late-hare", should_stop=lambda: True):
        pass


def test_folders_that_the_store_never_made_are_left_as_they_are(store, launcher_of, small):
    """Other tools keep settings in such folders, too; and a run that was cut off may be copied here without its process."""
    foreign = store.home / "exp-01"
    foreign.mkdir(parents=True)
    (foreign / "config.json").write_text('{"seed": 1}')
    copied = store.create(small, queued=True)
    (store.path(copied) / "private.json").unlink()
    launcher = launcher_of(start=False)
    launcher.tick()
    assert [path.name for path in foreign.iterdir()] == ["config.json"]
    assert not (store.path(copied) / "process.json").exists()
    assert [(row["run"], row["state"]) for row in store.list()] == [(copied, "lost")]
    waits = launcher.submit(small)["run"]
    launcher.tick()
    assert read_process(store.path(waits))


def test_a_run_that_cannot_be_claimed_starts_one_process_a_look_and_leaves_none(store, launcher_of, small, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    launcher = launcher_of(start=False)
    run = launcher.submit(small)["run"]
    children, popen = [], subprocess.Popen
    monkeypatch.setattr(launch.subprocess, "Popen", lambda *args, **kwargs: children.append(popen(*args, **kwargs)) or children[-1])
    monkeypatch.setattr(launch, "claim", full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            launcher.tick()
    assert len(children) == 2
    assert all(child.poll() is not None for child in children)
    monkeypatch.undo()
    launcher.tick()
    assert is_alive(read_process(store.path(run)))


def test_a_dead_run_that_was_to_stop_ended_when_it_last_said_something(store, launcher_of, small):
    run = store.create(small)
    record = read_process(store.path(run))
    (store.path(run) / "process.json").write_text(json.dumps({**record, "ticks": record["ticks"] + 1}))
    ask(store.path(run))
    began = datetime.fromisoformat(store.all_events(run)[0]["started"]).timestamp()
    os.utime(store.events_path(run), (began + 30, began + 30))
    launcher_of(start=False, clock=lambda: began + 90_000).tick()
    assert last(store, run)["kind"] == "stopped"
    assert last(store, run)["time"] == pytest.approx(30, abs=0.1)
