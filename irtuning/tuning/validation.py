"""Scores the validation part a few times in a run and keeps the best weights. Knows neither texts nor events."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from irtuning.tuning.adapters import restore_state, trainable_state
from irtuning.tuning.checkpoints import folder_of, resumed_from

BEST, BEST_WEIGHTS = "best.json", "best.safetensors"
"""In a checkpoint: the best step so far with its metrics, and its weights."""


class Validation(TrainerCallback):
    """Calls `evaluate(step)` at `evaluation_steps` and remembers adapters and head where macro-F1 was highest."""

    def __init__(self, model: PeftModel, evaluate: Callable[[int], dict[str, Any]], when: list[int]) -> None:
        self._model, self._evaluate = model, evaluate
        self._when = set(when)
        self._best: tuple[int, dict[str, Any], dict[str, torch.Tensor]] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Goes on with the best weights of a checkpoint, where training is resumed from one."""
        if path := resumed_from(args, state, BEST):
            self.load(path.parent)

    def load(self, checkpoint: Path) -> None:
        """Goes on with the best weights of a checkpoint; without any where it has none."""
        if (checkpoint / BEST).is_file():
            told = json.loads((checkpoint / BEST).read_text(encoding="utf-8"))
            self._best = (told["step"], told["metrics"], load_file(checkpoint / BEST_WEIGHTS))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Puts the best weights so far beside the Trainer's own files."""
        folder = folder_of(args, state)
        if self._best and state.is_world_process_zero and folder.is_dir():
            step, metrics, weights = self._best
            save_file(weights, folder / BEST_WEIGHTS)
            (folder / BEST).write_text(json.dumps({"step": step, "metrics": metrics}), encoding="utf-8")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Evaluates where it is due."""
        if state.global_step not in self._when:
            return
        metrics = self._evaluate(state.global_step)
        # Later weights win a tie: they have seen more.
        if self._best is None or metrics["macro_f1"] >= self._best[1]["macro_f1"]:
            self._best = (state.global_step, metrics, trainable_state(self._model))

    def restore_best(self) -> tuple[int, dict[str, Any]]:
        """Puts the best weights back into the model; their step and metrics."""
        if self._best is None:
            return 0, {}
        step, metrics, weights = self._best
        restore_state(self._model, weights)
        return step, metrics
