"""Serves `live_page` and feeds it runs, for tests that look at the live view in a browser."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update",
         "--disable-sync", "--disable-quic"]


@contextlib.contextmanager
def served(home: Path) -> Iterator[str]:
    """The address of a page of live views on the store `home`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = program("tests.browser.live_page", str(home), str(port))
    address = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the page is not served") from None
                time.sleep(0.2)
        yield address
    finally:
        process.kill()
        process.wait(20)


def program(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A Python program of this tree, in a process of its own, whose standard input ends when this process does."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
    )


def live_run(home: Path, run: str, *, layers: int = 30, steps: int = 60, every: float = 0.2) -> subprocess.Popen[bytes]:
    """A process that writes a run, a step every so many seconds."""
    return program("tests.simulated", str(home), run, "--layers", str(layers), "--steps", str(steps), "--every", str(every))


def launch(playwright: Any) -> Any:
    """The system's chromium, else playwright's own."""
    system = Path("/usr/bin/chromium")
    return playwright.chromium.launch(executable_path=str(system) if system.exists() else None, args=FLAGS)
