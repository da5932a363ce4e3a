"""Ends each checkpoint with its seal: only then does it count. Knows neither run folders nor events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from irtuning.tuning.checkpoints import SEAL, folder_of, sync
from irtuning.tuning.ranks import wait_for_all


class Seal(TrainerCallback):
    """Ends each checkpoint with its seal; it must be the last callback.

    Args:
        note: gives what else to remember, plain JSON values.
    """

    def __init__(self, note: Callable[[], dict[str, Any]]) -> None:
        self._note = note

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Writes the seal in one move, after all processes have written theirs and all of it has reached the disk."""
        folder = folder_of(args, state)
        wait_for_all()
        if not state.is_world_process_zero or not folder.is_dir():
            return
        for path in folder.iterdir():
            sync(path)
        scratch = folder / f"{SEAL}.tmp"
        scratch.write_text(json.dumps({"step": state.global_step, **self._note()}), encoding="utf-8")
        sync(scratch)
        scratch.replace(folder / SEAL)
