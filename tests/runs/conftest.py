"""A store in a folder of its own, a launcher of fake workers, and patience."""

import os
import signal
import sys
from pathlib import Path

import pytest

from irtuning.config import RunConfig
from irtuning.runs.launch import LocalLauncher
from irtuning.runs.process import is_alive, read_process
from irtuning.runs.stopping import Grace
from irtuning.runs.store import RunStore

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
SHORT = Grace(terminate=0.3, kill=0.3, early_terminate=0.2, early_kill=0.2)


@pytest.fixture
def store(tmp_path):
    made = RunStore(tmp_path / "runs")
    yield made
    for folder in made.home.glob("*/"):  # no worker outlives its test
        record = read_process(folder)
        if record and record["pid"] != os.getpid() and is_alive(record):
            os.kill(record["pid"], signal.SIGKILL)


@pytest.fixture
def launcher_of(store):
    """Makes launchers whose workers have the manners of a mode; closed at the end."""
    made = []

    def make(mode="steps", grace=SHORT, start=True, at=None, **others):
        launcher = LocalLauncher(
            at or store, command=[sys.executable, str(FAKE_WORKER), mode], grace=grace, poll_seconds=0.05, **others
        )
        made.append(launcher)
        if start:
            launcher.start()
        return launcher

    yield make
    for launcher in made:
        launcher.close()


@pytest.fixture
def small():
    return RunConfig(model_name="minilm", max_steps=5)
