"""The whole thing as a person meets it: `python app.py`, a real chromium, a real model that trains in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from irtuning.runs.process import is_alive, read_process
from tests.browser.pages import PATIENCE, ROOT, expect, start, visiting
from tests.command_line import guarded
from tests.pace import slowness

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.alone]


class Studio:
    """`python app.py` on a store of its own; can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home, self.asked = home, home.parent / "asked"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        self.process: subprocess.Popen | None = None

    def open(self) -> None:
        """Starts it, and waits for a served page."""
        environment = {
            **guarded(self.asked),
            "IRTUNING_HOME": str(self.home),
            "GRADIO_SERVER_PORT": str(self.port),
            "GRADIO_SERVER_NAME": "127.0.0.1",
        }
        began = time.monotonic()
        self.process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, start_new_session=True)
        while True:
            try:
                urllib.request.urlopen(self.address, timeout=5).close()
                return
            except OSError:
                assert self.process.poll() is None
                assert time.monotonic() - began < 60
                time.sleep(0.1)

    def kill(self) -> None:
        """As a crash would."""
        self.process.kill()
        self.process.wait(20)

    def events(self, run: str) -> list[dict]:
        lines = (self.home / run / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def last_step(self, run: str) -> int:
        return max((e["step"] for e in self.events(run) if e["kind"] == "step"), default=0)

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.kill()
        for folder in self.home.glob("*"):
            record = read_process(folder)
            if record and is_alive(record):
                os.kill(record["pid"], signal.SIGKILL)


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    made = Studio(tmp_path_factory.mktemp("real") / "runs")
    made.open()
    yield made
    made.end()


@pytest.fixture
def visit(profile, studio):
    """Opens pages of the real app; neither they nor the app may ask another machine."""
    faults = []
    with visiting(profile, studio.address, faults) as open_page:
        yield open_page
    assert faults == []
    assert not studio.asked.exists()


def badge(page):
    return page.locator("#live .irl-badge")


def test_the_default_run_from_start_to_a_classified_pair(studio, visit):
    page = visit()
    expect(page.locator("#ir-estimate")).to_contain_text("on this machine", timeout=PATIENCE)
    began = time.monotonic()
    run = start(page)
    expect(page.locator("#live")).to_contain_text(re.compile(r"step \d+ of \d+"), timeout=60_000)
    first_cell = time.monotonic() - began
    expect(badge(page)).to_have_text("finished", timeout=420_000)
    took = time.monotonic() - began
    print(f"first cell {first_cell:.1f} s, whole run {took:.1f} s")
    # Figures to reach are 20 s and a minute on a machine of that kind, which computes in bfloat16: a shared one without it is no
    # place for tight clocks.
    slower = slowness()
    assert first_cell < 40 * slower
    assert took < 200 * slower
    metrics = json.loads((studio.home / run / "metrics.json").read_text())
    ending = studio.events(run)[-1]
    assert ending["kind"] == "finished"
    if metrics["difference"]["clear"]:
        assert ("above" if metrics["difference"]["macro_f1"] > 0 else "below") in ending["what"]
    else:
        assert "no clear difference" in ending["what"]
    expect(page.locator("#live")).to_contain_text(f"{metrics['network']['macro_f1']:.2f}")
    estimate = page.locator("#ir-estimate")
    expect(estimate).not_to_contain_text("A guess", timeout=PATIENCE)
    span = re.match(r"About (\d+ \w+) and", estimate.inner_text())[1]
    expect(page.locator(".ir-card-choice").first).to_contain_text(f"about {span}")
    page.locator("#live").get_by_role("button", name="Try its adapter").click()
    page.get_by_label("Before").fill("She go to the market every days.")
    page.get_by_label("After").fill("She goes to the market every day.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".ir-intention")).to_have_text(
        re.compile(r"(clarity|fluency|coherence|style|meaning-changed)\s*\d+ %"), timeout=60_000
    )
    assert f"adapter={run}" in page.url


def test_a_run_outlives_pages_and_the_app_and_stops_when_asked(studio, visit):
    page = visit()
    run = start(page, "3000")
    expect(page.locator("#live")).to_contain_text(re.compile(r"step [1-9]\d* of 3"), timeout=90_000)

    began = time.monotonic()
    page.reload(wait_until="domcontentloaded")
    expect(page.locator("#live")).to_contain_text(re.compile(r"step [1-9]\d* of 3"), timeout=PATIENCE)
    print(f"shown again after {time.monotonic() - began:.1f} s")

    second = visit(f"?page=train&run={run}")
    expect(badge(second)).to_have_text("running", timeout=PATIENCE)
    for watcher in (page, second):
        shown = watcher.locator("#live").inner_text()
        expect(watcher.locator("#live")).not_to_have_text(shown, timeout=PATIENCE)
    page.close()
    second.close()
    here = studio.last_step(run)
    deadline = time.monotonic() + 60
    while studio.last_step(run) <= here + 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)

    studio.kill()
    here = studio.last_step(run)
    studio.open()
    page = visit(f"?page=train&run={run}")
    expect(badge(page)).to_have_text("running", timeout=PATIENCE)
    assert studio.last_step(run) > here

    began = time.monotonic()
    page.locator("#live").get_by_role("button", name="Stop").click()
    expect(badge(page)).to_have_text("stopped", timeout=PATIENCE)
    print(f"stopped after {time.monotonic() - began:.1f} s")
    kinds = [e["kind"] for e in studio.events(run)]
    assert kinds[-1] == "stopped"
    assert (studio.home / run / "adapter" / "adapter_model.safetensors").is_file()
    assert "evaluated" not in kinds[len(kinds) - 1 - kinds[::-1].index("step") :]


def test_a_run_whose_process_died_with_the_app_is_lost_and_the_next_one_starts(studio, visit):
    page = visit()
    run = start(page, "3000")
    expect(badge(page)).to_have_text("running", timeout=PATIENCE)
    queued = start(page, "2")
    page.close()
    studio.kill()
    os.kill(read_process(studio.home / run)["pid"], signal.SIGKILL)
    studio.open()
    page = visit(f"?page=train&run={run}")
    expect(badge(page)).to_have_text("lost", timeout=PATIENCE)
    expect(page.locator("#live")).to_contain_text("again", timeout=PATIENCE)  # the advice
    page.goto(f"{studio.address}?page=train&run={queued}")
    expect(badge(page)).to_have_text("running", timeout=PATIENCE)
