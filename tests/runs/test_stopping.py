"""What is due when about a run that was asked to stop."""

import os
import signal

import pytest

from irtuning.runs.stopping import Grace, StopSignal, ask, due, kept, press, stop_requested

GRACE = Grace(terminate=20, kill=10, early_terminate=3, early_kill=1.5)


@pytest.mark.parametrize(
    ("waited", "told", "phase", "action"),
    [
        (0, None, "training", "wait"),
        (19.9, None, "training", "wait"),
        (20, None, "training", "terminate"),
        (25, 5, "saving", "wait"),
        (30, 10, "saving", "kill"),
        (2.9, None, "loading", "wait"),
        (3, None, "loading", "terminate"),
        (4, 1.0, "floor", "wait"),
        (4.5, 1.5, "encoding", "kill"),
        (1000, None, "waiting", "terminate"),
    ],
)
def test_due(waited, told, phase, action):
    assert due(waited, told, phase, GRACE) == action


def test_asking_again_does_not_start_the_wait_anew(tmp_path):
    assert not stop_requested(tmp_path)
    ask(tmp_path)
    first = (tmp_path / "stop").read_bytes()
    ask(tmp_path)
    assert stop_requested(tmp_path)
    assert (tmp_path / "stop").read_bytes() == first


def test_a_file_made_by_hand_counts_from_its_own_time(tmp_path):
    (tmp_path / "stop").touch()
    asked = (tmp_path / "stop").stat().st_mtime
    press(tmp_path, "training", GRACE, asked + 5)
    assert (tmp_path / "stop").read_bytes() == b""
    press(tmp_path, "training", GRACE, asked + 21)
    assert b'"told"' in (tmp_path / "stop").read_bytes()


def test_what_is_kept(tmp_path):
    assert kept(tmp_path) == "No adapter was saved."
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_model.safetensors").touch()
    assert "kept" in kept(tmp_path)


@pytest.mark.parametrize(("before", "asked"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_a_terminal_that_is_closed_asks_the_run_to_stop_but_not_under_nohup(tmp_path, before, asked):
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    kept = [signal.getsignal(number) for number in numbers]
    try:
        signal.signal(signal.SIGHUP, before)
        stop = StopSignal(tmp_path)
        stop.listen()
        # Its shell hands the signal on, and then the kernel sends it again.
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop() is asked
    finally:
        for number, handler in zip(numbers, kept, strict=True):
            signal.signal(number, handler)
