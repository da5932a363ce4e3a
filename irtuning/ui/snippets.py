"""The same run as a command and as Python, to copy. Pure; knows no gradio."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from irtuning import catalogue
from irtuning.config import RunConfig


def command(config: RunConfig) -> str:
    """The command that starts this run: only what somebody set; a preset's name stands for its values."""
    values = config.model_dump(exclude_none=True)
    lines = ["python -m irtuning train"]
    preset = _preset(values)
    if preset:
        lines.append(f"--preset {preset.name}")
        values = {key: value for key, value in values.items() if preset.values.get(key) != value}
    for name, value in values.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            lines.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            lines.append(shlex.join([f"--{flag}", _shown(name, value)]))
    return " \\\n  ".join(lines)


def python(config: RunConfig) -> str:
    """The Python that trains the same adapter."""
    values = config.model_dump(exclude_none=True)
    arguments = "".join(f"    {name}={_literal(name, value)},\n" for name, value in values.items())
    return (
        "from irtuning import RunConfig, train\n\n"
        f"config = RunConfig(\n{arguments})\n"
        'result = train(config, output_dir="adapter")\n'
        'print(result.test["macro_f1"])\n'
    )


def _preset(values: dict[str, Any]) -> catalogue.Preset | None:
    """The preset whose every value this run has, the one that names most of them."""
    whole = [
        p
        for p in catalogue.PRESETS.values()
        if all(values.get(key, catalogue.defaults_for(values.get("model_name", ""), values.get("dataset_name")).get(key)) == value
               for key, value in p.values.items())
    ]
    return max(whole, key=lambda p: len(p.values), default=None)


def _shown(name: str, value: Any) -> str:
    if name in ("dataset_name", "model_name"):
        return _last_name(str(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _literal(name: str, value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(_last_name(value) if name in ("dataset_name", "model_name") else value, ensure_ascii=False)
    return repr(value)


def _last_name(value: str) -> str:
    """A path of this machine reduced to its last name: the reader's file lies elsewhere."""
    return Path(value).name if value.startswith(("/", "~")) else value
