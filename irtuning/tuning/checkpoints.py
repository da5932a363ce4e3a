"""Checkpoints to resume from: where they lie, and which one is whole. Loads no torch.

A checkpoint counts only once its seal is written, the last thing of all: a process that dies meanwhile leaves none. Knows
neither run folders nor events.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FOLDER = "checkpoints"
"""Of a run: holds its checkpoints."""
PREFIX = "checkpoint-"
SEAL = "sealed.json"
WEIGHTS = "trainable.safetensors"
"""Adapters and head, in float32, by parameter name."""
TRAINER_STATE = "trainer_state.json"


def folder_of(args: Any, state: Any) -> Path:
    """Where the Trainer has just saved."""
    return Path(args.output_dir) / f"{PREFIX}{state.global_step}"


def resumed_from(args: Any, state: Any, name: str) -> Path | None:
    """A file of the checkpoint that training goes on from; None where it starts anew, or the checkpoint has no such file.

    The Trainer is told of the checkpoint in its arguments or when it is called; then it is the newest in its own folder.
    """
    if not state.global_step:
        return None
    told = args.resume_from_checkpoint
    places = [Path(told)] if isinstance(told, str) else []
    return next((folder / name for folder in [*places, folder_of(args, state)] if (folder / name).is_file()), None)


def sync(path: Path) -> None:
    """Returns once a file, or a folder's list of files, has reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def latest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest whole checkpoint in a folder with what its seal says (`step` at least); None where there is none."""
    found = []
    for path in folder.glob(f"{PREFIX}*"):
        try:
            seal = json.loads((path / SEAL).read_text(encoding="utf-8"))
            # A folder that somebody began to remove may have lost these before its seal.
            if all((path / name).is_file() for name in (WEIGHTS, TRAINER_STATE)):
                found.append((int(seal["step"]), path, seal))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    if not found:
        return None
    _, path, seal = max(found, key=lambda item: item[0])
    return path, seal


def latest_step(folder: Path) -> int:
    """The step of the newest whole checkpoint in a folder, 0 where there is none."""
    found = latest(folder)
    return int(found[1]["step"]) if found else 0
