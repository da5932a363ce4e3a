"""Checkpoints to resume from: where they lie, and which one is whole. Loads no torch.

A checkpoint counts only once its seal is written, the last thing of all: a process that dies meanwhile leaves none. Knows
neither run folders nor events.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = "checkpoints"
"""Of a run: holds its checkpoints."""
PREFIX = "checkpoint-"
SEAL = "sealed.json"
WEIGHTS = "trainable.safetensors"
"""Adapters and head, in float32, by parameter name."""


def folder_of(args: Any, state: Any) -> Path:
    """Where the Trainer has just saved."""
    return Path(args.output_dir) / f"{PREFIX}{state.global_step}"


def latest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest whole checkpoint in a folder with what its seal says (`step` at least); None where there is none."""
    found = []
    for path in folder.glob(f"{PREFIX}*"):
        try:
            seal = json.loads((path / SEAL).read_text(encoding="utf-8"))
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
