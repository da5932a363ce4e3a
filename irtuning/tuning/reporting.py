"""Reports of a run to a tracker: whether it is there, under what name it is told of, and a sentence where it cannot start.

Knows no training; what is logged is the Trainer's business.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback, get_reporting_integration_callbacks

from irtuning.errors import ConfigError

REPORTERS = {"wandb": "wandb", "tensorboard": "tensorboard", "trackio": "trackio"}
"""Value of `report_to` -> the package it needs."""
PROJECT = "irtuning"
_LONGEST = 200
"""Characters of a tracker's own words that are shown."""


def require(report_to: str) -> None:
    """Looks for a tracker's package.

    Raises:
        ConfigError: it is not installed.
    """
    if report_to != "none" and importlib.util.find_spec(REPORTERS[report_to]) is None:
        raise ConfigError(
            f"Reports to {report_to} need its package, which is not installed.", f"Bring it with: pip install {report_to}"
        )


def reporters(report_to: str, folder: Path | None) -> list[TrainerCallback]:
    """The Trainer's own callback for a tracker; none where there is nobody to report to.

    Args:
        folder: the run's, where tensorboard writes; the working directory without it.

    Raises:
        ConfigError: it cannot be loaded. That it cannot start is told by the callback in the same way, when training begins.
    """
    if report_to == "none":
        return []
    if report_to == "wandb":
        # Its callback takes a project from here alone.
        os.environ.setdefault("WANDB_PROJECT", PROJECT)
    with _told(report_to):
        callback: Any = get_reporting_integration_callbacks([report_to])[0]()
    # Among the checkpoints, where it would write by itself, its files went with these once the run has finished.
    if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
        callback.logging_dir = str((folder or Path()) / "tensorboard")
    starts = callback.on_train_begin

    def on_train_begin(*args: Any, **kwargs: Any) -> None:
        with _told(report_to):
            starts(*args, **kwargs)

    callback.on_train_begin = on_train_begin
    return [callback]


@contextmanager
def _told(report_to: str) -> Iterator[None]:
    """Whatever a tracker raises in here becomes one sentence with the first line of its words."""
    try:
        yield
    except Exception as error:
        words = (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST].rstrip(".")
        raise ConfigError(
            f"Reports to {report_to} could not start: {words}.", "Mend that, or train without reports (report to none)."
        ) from error
