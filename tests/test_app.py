"""How the app ends: `python app.py` as a process of its own, ended as a person or a host ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def started(tmp_path, ignoring=False):
    app = subprocess.Popen(
        [sys.executable, "-u", "app.py"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "IRTUNING_HOME": str(tmp_path / "runs"), "GRADIO_SERVER_NAME": "127.0.0.1", "HF_HUB_OFFLINE": "1"},
        # A shell that runs the tests in the background has them, and all they start, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if ignoring else signal.SIG_DFL),
    )  # fmt: skip
    assert "http://127.0.0.1:" in app.stdout.readline()
    return app


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_peace_however_often_it_is_told(tmp_path, number):
    app = started(tmp_path)
    try:
        for _ in range(20):
            if app.poll() is None:
                app.send_signal(number)
                time.sleep(0.05)
        _, told = app.communicate(timeout=60)
    finally:
        app.kill()
    assert app.returncode == 0
    assert "Traceback" not in told


@pytest.mark.slow
def test_in_the_background_of_a_script_ctrl_c_is_not_for_it(tmp_path):
    app = started(tmp_path, ignoring=True)
    try:
        app.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert app.poll() is None
        app.send_signal(signal.SIGTERM)
        app.communicate(timeout=60)
    finally:
        app.kill()
    assert app.returncode == 0
