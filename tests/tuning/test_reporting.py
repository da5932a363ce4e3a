"""Reports to trackers: what is said where one is missing or cannot start, and under which name a run is told of."""

from __future__ import annotations

import os

import pytest
from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback, integration_utils

from irtuning.config import RunConfig
from irtuning.errors import ConfigError
from irtuning.tuning.arguments import arguments
from irtuning.tuning.device import choose_device
from irtuning.tuning.reporting import REPORTERS, reporters, require


class UsageError(Exception):
    """What a tracker raises of its own."""


@pytest.fixture
def as_tracker(monkeypatch):
    """Puts a callback in the place of a tracker's."""
    # What is set in between is taken back, too.
    monkeypatch.setenv("WANDB_PROJECT", "")
    monkeypatch.delenv("WANDB_PROJECT")
    return lambda name, callback: monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, name, callback)


@pytest.mark.parametrize("name", REPORTERS)
def test_a_tracker_whose_package_is_missing_is_named_with_what_brings_it(name, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None)
    with pytest.raises(ConfigError, match=f"Reports to {name} need its package.*pip install {name}"):
        require(name)


def test_nobody_to_report_to_needs_nothing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None)
    require("none")
    assert reporters("none", None) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("No API key configured. Use `wandb login` to log in.\nmore", "start: No API key configured. Use `wandb login` to log in. Mend"),
        ("", "start: UsageError. Mend"),
        ("x" * 5000, f"start: {'x' * 200}. Mend"),
    ],
)
def test_a_tracker_that_cannot_start_is_told_in_one_line(words, told, as_tracker):
    class Refuses(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            raise UsageError(words)

    as_tracker("wandb", Refuses)
    (reporter,) = reporters("wandb", None)
    with pytest.raises(ConfigError) as caught:
        reporter.on_train_begin(None, None, None)
    assert f"Reports to wandb could not {told}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tracker_that_lacks_a_part_of_its_own_is_told_of(as_tracker):
    class Torn(TrainerCallback):
        def __init__(self):
            raise ModuleNotFoundError("No module named 'platformdirs'")

    as_tracker("trackio", Torn)
    with pytest.raises(ConfigError, match="Reports to trackio could not start: No module named 'platformdirs'"):
        reporters("trackio", None)


def test_tensorboard_writes_into_the_runs_folder(tmp_path, as_tracker):
    class Board(TensorBoardCallback):
        def __init__(self):
            self.logging_dir = None

    as_tracker("tensorboard", Board)
    assert reporters("tensorboard", tmp_path)[0].logging_dir == str(tmp_path / "tensorboard")


def test_a_run_is_told_of_by_its_id_in_a_project_of_the_studio(tmp_path, as_tracker, monkeypatch):
    config = RunConfig(model_name="minilm", report_to="trackio").resolve()
    made = arguments(config, choose_device("cpu", "float32"), 10, tmp_path / "patient-hare-29c6" / "checkpoints")
    assert (made.project, made.run_name) == ("irtuning", "patient-hare-29c6")
    as_tracker("wandb", TrainerCallback)
    reporters("wandb", None)
    assert os.environ["WANDB_PROJECT"] == "irtuning"
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    reporters("wandb", None)
    assert os.environ["WANDB_PROJECT"] == "mine"
