"""The command line as a person uses it: in a process of its own, and, for what needs none, in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
Call = Callable[..., subprocess.CompletedProcess]


def irtuning(*arguments: str, timeout: float = 120, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """`python -m irtuning` with these arguments, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "irtuning", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def guarded(noted: Path) -> dict[str, str]:
    """An environment as a person's, with nothing that keeps libraries off the network, but whose every way to another machine is
    barred and noted in a file."""
    ours = ("HF_HUB_OFFLINE", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY")
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.lower().endswith("_proxy")}
    guard = Path(__file__).parent / "guard"
    return {**kept, "PYTHONPATH": f"{guard}{os.pathsep}{ROOT}", "IRTUNING_GUARD": str(noted), "HF_HOME": str(noted.parent / "hf")}


def caller(capsys) -> Call:
    """As `irtuning`, in this process: for commands that neither train nor end it, without the seconds that loading torch takes."""
    from irtuning.__main__ import main

    def call(*arguments) -> subprocess.CompletedProcess:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return call
