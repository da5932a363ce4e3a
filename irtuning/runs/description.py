"""A run's settings as files: config.json, which may be shared, and private.json with the paths of this machine.

Knows no folder of runs.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irtuning import catalogue
from irtuning.config import RunConfig

CONFIG, PRIVATE = "config.json", "private.json"
_FILES = (".jsonl", ".csv", ".tsv", ".xlsx")


def describe(config: RunConfig, preset: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config.json without the run's names, private.json without the owner) of a request.

    Local models and corpora stand in the first by their last name, in the second by their absolute path.

    Raises:
        ConfigError: the choices cannot be right.
    """
    resolved = config.resolve()
    values = resolved.model_dump()
    model = local_path(resolved.model_name, catalogue.MODELS)
    corpus = local_path(resolved.dataset_name, catalogue.CORPORA)
    if model:
        values["model_name"] = model.name
    if corpus:
        values["dataset_name"] = corpus.name
    filled_in = catalogue.STARTING_POINTS[preset].values if preset else {}
    shared = {
        **values,
        "given": [name for name in config.given if filled_in.get(name) != getattr(config, name)],
        "created": datetime.now(UTC).isoformat(),
        "preset": preset,
        "corpus": None,
        "weights": None,
    }
    private = {"model_path": str(model) if model else None, "dataset_path": str(corpus) if corpus else None}
    return shared, private


def local_path(name: str | None, catalogue_names: dict[str, Any]) -> Path | None:
    """The absolute path that a name of a model or corpus stands for; None for a catalogue name or a hub id.

    A path counts as one even where nothing lies there: who loads it says so, and it must not be shared either.
    """
    if not name or name in catalogue_names or "\0" in name:
        return None
    looks_local = name.startswith(("/", ".", "~")) or "\\" in name or name.count("/") > 1 or name.endswith(_FILES)
    try:
        path = Path(name).expanduser()
        if not looks_local and not path.exists():
            return None
        return Path(os.path.abspath(path))  # noqa: PTH100 - unlike resolve, keeps the name that the user gave a link
    except (OSError, RuntimeError):
        return Path(os.path.abspath(name)) if looks_local else None  # noqa: PTH100


def plain_config(shared: dict[str, Any]) -> dict[str, Any]:
    """The RunConfig fields of a config.json."""
    return {name: shared[name] for name in RunConfig.model_fields if name in shared}


def with_paths(values: dict[str, Any], private: dict[str, Any]) -> dict[str, Any]:
    """RunConfig fields with the local paths put back."""
    model, corpus = private.get("model_path"), private.get("dataset_path")
    return {**values, **({"model_name": model} if model else {}), **({"dataset_name": corpus} if corpus else {})}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a file; empty where it is missing, damaged or something else."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: dict[str, Any], *, mode: int = 0o644) -> None:
    """Writes a JSON object in one move: readers see the old file or the new one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    scratch.replace(path)
