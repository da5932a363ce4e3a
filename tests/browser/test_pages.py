"""The pages in a real chromium: the real shell on workers that train nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright import sync_api

from irtuning.catalogue import ARGREWRITE_LABELS
from tests.browser.quick_worker import closing
from tests.simulated import simulate, write_run

pytestmark = pytest.mark.browser

expect = sync_api.expect
ROOT = Path(__file__).parents[2]
RECORDED = "brisk-otter-3f2a"
PATIENCE = 20_000
"""Milliseconds to wait for something on a page that shares two cores with others."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A store of recorded runs with one of 30 layers."""
    home = tmp_path_factory.mktemp("recorded")
    write_run(home, RECORDED, simulate(layers=30, steps=40))
    return home


@pytest.fixture(scope="module")
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
def visit(chromium, address):
    """Opens pages; at the end, nothing may have gone wrong in one or asked another host."""
    pages, faults = [], []

    def open_page(query: str = "", *, width: int = 1280, height: int = 900):
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda r: faults.append(r.url) if urlparse(r.url).hostname not in (None, "", "127.0.0.1") else None)
        page.goto(address + query, wait_until="domcontentloaded")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert faults == []


def setting(page, label: str):
    """The box of a folded setting; its name goes on with the sentence below it."""
    return page.get_by_role("textbox", name=re.compile(f"^{label}"))


def start(page, steps: str = "") -> str:
    """Presses Start, with so many steps at most; the run's id."""
    before = page.url
    if steps:
        if not setting(page, "Most steps").count():
            page.get_by_role("button", name="More settings").click()
        setting(page, "Most steps").fill(steps)
    page.locator("#ir-start").click()
    page.wait_for_function("(before) => location.href !== before && location.search.includes('run=')", arg=before)
    return re.search(r"run=([\w-]+)", page.url).group(1)


def test_a_first_visit_shows_the_recorded_run_the_machine_and_what_a_run_will_take(visit):
    page = visit()
    expect(page.locator("#live")).to_contain_text("brisk-otter", timeout=PATIENCE)
    expect(page.locator("#live")).to_contain_text("recorded")
    expect(page.locator(".ir-machine")).to_have_text("2 CPU cores, bf16")
    expect(page.locator("#ir-estimate")).to_contain_text("on this machine", timeout=PATIENCE)
    assert page.locator("#ir-presets input[value=paper]").is_disabled()
    assert "run=" not in page.url


def test_a_run_is_started_watched_over_a_reload_and_its_adapter_tried(visit):
    page = visit()
    run = start(page)
    expect(page.locator("#live .irl-badge")).to_have_text("running", timeout=PATIENCE)
    page.reload()
    expect(page.locator("#live .irl-name")).to_have_text(run.rsplit("-", 1)[0], timeout=PATIENCE)
    expect(page.locator("#live .irl-badge")).to_have_text("finished", timeout=PATIENCE)
    page.locator("#live").get_by_role("button", name="Try its adapter").click()
    expect(page.get_by_role("combobox", name="Adapter").last).to_have_value(re.compile(run))
    assert f"page=classify&adapter={run}" in page.url
    page.get_by_label("Before").fill("He go <b>home</b>.")
    page.get_by_label("After").fill("He goes <b>home</b>.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".ir-intention")).to_have_text("fluency72 %")
    assert page.locator("#ir-answer ins:not(.ir-space)").inner_text() == "goes"
    assert page.locator("#ir-answer del:not(.ir-space)").inner_text() == "go"
    assert "<b>home</b>" in page.locator("#ir-answer .ir-marked").inner_text()
    page.goto(page.url.split("?")[0] + "?page=classify&adapter=shipped")
    expect(page.get_by_role("combobox", name="Adapter").last).to_have_value(re.compile("comes with the studio"))


def test_two_quick_clicks_make_one_run(visit):
    page = visit()
    page.locator("#ir-start").dblclick()
    page.wait_for_function("location.search.includes('run=')")
    page.get_by_role("tab", name="Runs").click()
    expect(page.locator("[data-run]").first).to_be_visible()
    page.wait_for_timeout(1000)
    assert page.locator("[data-run]").count() == 2  # with the recorded one


def test_a_second_run_waits_says_so_and_can_be_cancelled(visit):
    page = visit()
    first = start(page, "1000")
    expect(page.locator("#live .irl-badge")).to_have_text("running", timeout=PATIENCE)
    second = start(page, "999")
    assert second != first
    expect(page.locator("#live .irl-badge")).to_contain_text("1 run before it", timeout=PATIENCE)
    waiting = page.locator("#ir-waiting")
    expect(waiting).to_contain_text("trains now")
    expect(waiting).to_contain_text("waits, 1 run before it")
    waiting.get_by_role("button", name=first.rsplit("-", 1)[0], exact=True).click()
    expect(page.locator("#live .irl-name")).to_have_text(first.rsplit("-", 1)[0])
    waiting.get_by_role("button", name="Cancel").click()
    expect(waiting).not_to_contain_text("waits")
    page.locator("#live").get_by_role("button", name="Stop").click()
    expect(page.locator("#live .irl-badge")).to_have_text("stopped", timeout=PATIENCE)


@pytest.mark.parametrize(("field", "typed", "said"), [
    ("Learning rate", "nan", "Learning rate"), ("Most steps", "0", "Most steps"), ("Batch size", "many", "Batch size"),
])
def test_a_wrong_value_is_one_sentence_and_nothing_is_lost(visit, field, typed, said):
    page = visit()
    page.get_by_role("button", name="More settings").click()
    setting(page, field).fill(typed)
    setting(page, "Seed").fill("7")
    page.locator("#ir-start").click()
    expect(page.locator("#ir-message")).to_contain_text(said)
    assert setting(page, field).input_value() == typed
    assert setting(page, "Seed").input_value() == "7"
    assert "run=" not in page.url


def test_an_unknown_corpus_is_told_before_the_start(visit):
    page = visit()
    box = page.get_by_role("combobox", name="Corpus")
    box.fill("no-such-corpus")
    box.press("Enter")
    expect(page.locator("#ir-estimate")).to_contain_text("There is no corpus 'no-such-corpus'")
    page.locator("#ir-start").click()
    expect(page.locator("#ir-message")).to_contain_text("There is no corpus 'no-such-corpus'")


def test_a_preset_fills_the_form_at_once(visit):
    page = visit()
    page.locator("#ir-presets").get_by_text("A real LLM").click()
    expect(page.get_by_role("combobox", name="Model")).to_have_value("SmolLM2-135M, 30 layers")
    page.get_by_role("button", name="Command").click()
    expect(page.locator("#ir-snippets code").first).to_contain_text("--preset real-llm")


def test_a_corpus_of_ones_own_is_looked_at_before_it_is_trained_on(visit, tmp_path):
    rows = [f'"before {i}, old","after {i} <i>x</i>",{"ab"[i % 2]},d{i % 9}' for i in range(40)]
    mine = tmp_path / "mine.csv"
    mine.write_text("\n".join(["old,new,why,writer", *rows]), encoding="utf-8")
    page = visit()
    page.get_by_role("combobox", name="Corpus").click()
    page.get_by_role("option", name="A file of your own").click()
    with page.expect_download() as sample:
        page.get_by_role("button", name="Sample file").click()
    assert sample.value.suggested_filename == "sample.csv"
    page.set_input_files("#ir-own input[type=file]", str(mine))
    expect(page.locator("#ir-own-preview")).to_contain_text("first 5 of 40 rows")
    expect(page.locator("#ir-own-preview")).to_contain_text("<i>x</i>")
    expect(page.locator("#ir-own-summary")).to_contain_text("which column is the intention")
    page.get_by_role("combobox", name="Intention").click()
    page.get_by_role("option", name="why").click()
    expect(page.locator("#ir-own-summary")).to_contain_text("to train on")
    expect(page.locator("#ir-own-summary .ir-bar-row")).to_have_count(2)
    run = start(page, "5")
    expect(page.locator("#live .irl-badge")).to_have_text("finished", timeout=PATIENCE)
    page.get_by_role("tab", name="Runs").click()
    page.locator(f"[data-run={run}]").click()
    expect(page.locator("#ir-report")).to_contain_text("No clear difference")


def test_a_half_written_file_is_one_sentence(visit, tmp_path):
    torn = tmp_path / "torn.jsonl"
    torn.write_text('{"before": "a", "after": "b", "label": "x"}\n{"before": "a", "af')
    page = visit()
    page.get_by_role("combobox", name="Corpus").click()
    page.get_by_role("option", name="A file of your own").click()
    page.set_input_files("#ir-own input[type=file]", str(torn))
    expect(page.locator("#ir-own-preview .ir-warning")).to_contain_text("torn.jsonl")


def test_a_run_is_opened_by_its_link_downloaded_repeated_and_deleted(visit):
    page = visit()
    run = start(page, "5")
    expect(page.locator("#live .irl-badge")).to_have_text("finished", timeout=PATIENCE)
    page.goto(page.url.split("?")[0] + f"?page=runs&run={run}")
    report = page.locator("#ir-report")
    expect(report).to_contain_text("No clear difference", timeout=PATIENCE)
    expect(report).to_contain_text("it contains 0")
    expect(report.locator(".ir-wrong li")).to_have_count(10)
    expect(report.locator(".ir-wrong li").first).to_contain_text("<b>home</b>")
    with page.expect_download() as zipped:
        page.get_by_role("button", name="Adapter (ZIP)").click()
    assert zipped.value.suggested_filename == f"{run}-adapter.zip"
    with page.expect_download() as events:
        page.get_by_role("button", name="Events").click()
    assert Path(events.value.path()).read_text().count('"kind":"step"') == 5
    page.get_by_role("button", name="Run again").click()
    page.wait_for_function("(run) => !location.search.includes('page=') && !location.search.includes(run)", arg=run)
    expect(page.locator("#live .irl-badge")).to_have_text("finished", timeout=PATIENCE)
    expect(page.locator("#live")).to_contain_text("5 steps")
    page.goto(page.url.split("?")[0] + f"?page=runs&run={run}")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("button", name="Keep it")).to_be_hidden()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete it for good").click()
    expect(page.locator("[data-run]")).to_have_count(2)
    assert page.locator(f"[data-run={run}]").count() == 0
    assert "run=" not in page.url


def test_a_recorded_run_cannot_be_deleted_and_an_unknown_one_is_one_sentence(visit):
    page = visit(f"?page=runs&run={RECORDED}")
    expect(page.locator("#live-runs")).to_contain_text("brisk-otter", timeout=PATIENCE)
    assert page.get_by_role("button", name="Delete", exact=True).is_hidden()
    other = visit("?page=runs&run=../../etc")
    expect(other.locator("#ir-runs-message")).to_contain_text("There is no run")


@pytest.mark.parametrize(("before", "after"), [("", ""), ("The same.", "The same."), ("x" * 20_001, "y")])
def test_a_pair_that_cannot_be_classified_is_one_sentence(visit, before, after):
    page = visit("?page=classify")
    page.get_by_label("Before").fill(before)
    page.get_by_label("After").fill(after)
    page.locator("#ir-classify-go").click()
    expect(page.locator("#ir-answer .ir-warning")).to_be_visible()
    assert page.get_by_label("Before").input_value() == before


def test_the_address_follows_the_pages_and_leads_back(visit):
    page = visit("?page=runs")
    expect(page.locator(f"[data-run={RECORDED}]")).to_be_visible()
    page.locator(f"[data-run={RECORDED}]").click()
    page.wait_for_function("(run) => location.search === `?page=runs&run=${run}`", arg=RECORDED)
    page.get_by_role("tab", name="Classify").click()
    page.wait_for_function("location.search.includes('page=classify')")
    page.get_by_role("tab", name="Runs").click()
    page.wait_for_function("(run) => location.search === `?page=runs&run=${run}`", arg=RECORDED)
    page.get_by_role("tab", name="Train").click()
    expect(page.locator("#live")).to_contain_text("brisk-otter", timeout=PATIENCE)


@pytest.mark.parametrize("width", [390, 1280])
def test_nine_intentions_of_long_names_are_all_seen(visit, served, width):
    run = "quiet-heron-91aa"
    folder = write_run(served[1], run, simulate(layers=6, steps=5))
    (folder / "metrics.json").write_text(json.dumps(closing(list(ARGREWRITE_LABELS))))
    page = visit(f"?page=runs&run={run}", width=width)
    table = page.locator(".ir-confusion")
    expect(table.locator("tbody tr")).to_have_count(9, timeout=PATIENCE)
    frame = page.get_by_role("region", name="Confusions")
    assert frame.evaluate("e => e.scrollHeight - e.clientHeight") <= 1
    assert frame.evaluate("e => e.scrollWidth - e.clientWidth") <= 1
    for name in table.locator("th span, th[scope=row]").all():
        # Not broken into pieces: no name stands in more lines than it has words.
        lines = name.evaluate(
            "e => { const r = document.createRange(); r.selectNodeContents(e);"
            " const upright = getComputedStyle(e).writingMode !== 'horizontal-tb';"
            " return new Set([...r.getClientRects()].map(b => Math.round(upright ? b.x : b.y))).size }"
        )
        assert lines <= len(re.split(r"[ /-]", name.inner_text()))


@pytest.mark.parametrize("query", ["", "?page=runs", f"?page=runs&run={RECORDED}", "?page=classify"])
def test_a_phone_never_scrolls_sideways_and_cuts_no_tab(visit, query):
    page = visit(query, width=390, height=844)
    page.wait_for_timeout(2500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for tab in page.get_by_role("tab").all():
        box = tab.bounding_box()
        assert 0 <= box["x"] <= 390 - box["width"]


def test_on_a_phone_a_run_that_is_on_comes_before_the_form(visit):
    page = visit(width=390, height=844)
    expect(page.locator("#live")).to_contain_text("recorded", timeout=PATIENCE)
    assert page.locator("#ir-form").bounding_box()["y"] < page.locator("#ir-watch").bounding_box()["y"]
    start(page, "1000")
    expect(page.locator("#live .irl-badge")).to_have_text("running", timeout=PATIENCE)
    assert page.locator("#ir-form").bounding_box()["y"] > page.locator("#ir-watch").bounding_box()["y"]


def test_no_text_is_smaller_than_12_pixels(visit):
    page = visit(f"?page=runs&run={RECORDED}")
    expect(page.locator("#live-runs")).to_contain_text("brisk-otter", timeout=PATIENCE)
    small = page.evaluate("""() => [...document.querySelectorAll('.gradio-container *')].filter((e) =>
        [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) && e.checkVisibility() &&
        parseFloat(getComputedStyle(e).fontSize) < 12).map((e) => e.textContent.slice(0, 40))""")
    assert small == []
