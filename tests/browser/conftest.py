"""Shared by the tests in a browser: one chromium, and the pages on a store of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from playwright import sync_api

from tests.browser.live_serving import launch
from tests.browser.pages import RECORDED, ROOT, visiting
from tests.simulated import simulate, write_run


@pytest.fixture(scope="package")
def chromium():
    """A browser; each test opens pages of its own."""
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def profile(chromium):
    """What a person's browser keeps from visit to visit: the app's scripts, fetched and compiled once. The app itself keeps nothing."""
    made = chromium.new_context()
    yield made
    made.close()


@pytest.fixture(scope="package")
def recorded(tmp_path_factory):
    """A store of recorded runs with one of 30 layers."""
    home = tmp_path_factory.mktemp("recorded")
    write_run(home, RECORDED, simulate(layers=30, steps=40))
    return home


@pytest.fixture(scope="package")
def served(tmp_path_factory, recorded):
    """(address of the pages, folder of their runs)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("served")
    home, log = folder / "runs", folder / "log"
    with log.open("wb") as stream:
        app = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.pages_app", str(home), str(recorded), str(port)],
            cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            break
        except OSError:
            assert app.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield f"http://127.0.0.1:{port}/", home
    app.terminate()
    app.wait(20)


@pytest.fixture
def address(served):
    """Address of the pages on a store that is empty but for the recorded run."""
    yield served[0]
    home = served[1]
    workers = [json.loads(record.read_text())["pid"] for record in home.glob("*/process.json")]
    shutil.rmtree(home, ignore_errors=True)
    for pid in workers:  # no worker outlives its test
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def visit(profile, address):
    """Opens pages; at the end, nothing may have gone wrong in one or asked another host."""
    faults = []
    with visiting(profile, address, faults) as open_page:
        yield open_page
    assert faults == []
