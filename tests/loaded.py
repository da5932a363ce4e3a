"""The command line in processes that begin with everything loaded: as real to signals and kills as any, without seconds of imports.

They are forked from a server that has computed nothing yet. What a person starts, `python -m irtuning`, is tested beside it.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "irtuning.__main__", "irtuning.runs.conduct", "irtuning.runs.worker", "irtuning.classify", "sklearn.linear_model",
        "sklearn.feature_extraction.text", "transformers.models.llama.modeling_llama", "transformers.models.bert.modeling_bert",
        "tests.settled",
    ]
)


class Loaded:
    """A command in a process of its own.

    Args:
        environment: what is added to this process's own.

    Attributes:
        pid: of the process.
    """

    def __init__(self, *arguments: object, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self._said = tempfile.TemporaryDirectory(prefix="irtuning-loaded-", ignore_cleanup_errors=True)
        self._folder = Path(self._said.name)
        words = [str(argument) for argument in arguments]
        everything = {**os.environ, **environment}
        self._process = _CONTEXT.Process(target=_command, args=(words, everything, str(Path.cwd()), str(self._folder)))
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Its exit status, None while it runs; below 0 the signal that ended it."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status once it has ended."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("irtuning", timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Sends it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    @property
    def stdout(self) -> str:
        """What it has said so far."""
        return self._read("stdout")

    @property
    def stderr(self) -> str:
        """What it has complained of so far."""
        return self._read("stderr")

    def _read(self, name: str) -> str:
        path = self._folder / name
        return path.read_text() if path.exists() else ""


def loaded(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess:
    """A command to its end."""
    process = Loaded(*arguments)
    status = process.wait(timeout)
    return subprocess.CompletedProcess(arguments, status, process.stdout, process.stderr)


def _command(arguments: list[str], environment: dict[str, str], cwd: str, folder: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT), number)
    from irtuning.__main__ import main

    sys.exit(main(arguments))
