"""The Runs page in a real browser: a run by its link, its figures, its deletion."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from irtuning.catalogue import ARGREWRITE_LABELS
from irtuning.events import Finished, to_line
from tests.browser.pages import PATIENCE, RECORDED, expect, start
from tests.browser.quick_worker import closing
from tests.simulated import simulate, write_run

pytestmark = pytest.mark.browser


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


def test_an_open_list_follows_what_the_runs_do(visit, served):
    run = "slow-heron-91ab"
    folder = write_run(served[1], run, iter(list(simulate(layers=6, steps=5))[:-1]))
    page = visit("?page=runs")
    state = page.locator(f"[data-run={run}] .ir-state")
    expect(state).to_have_text("lost", timeout=PATIENCE)
    with (folder / "events.jsonl").open("a") as stream:
        stream.write(to_line(Finished(what="It is finished.")) + "\n")
    expect(state).to_have_text("finished", timeout=PATIENCE)


def test_a_recorded_run_cannot_be_deleted_and_an_unknown_one_is_one_sentence(visit):
    page = visit(f"?page=runs&run={RECORDED}")
    expect(page.locator("#live-runs")).to_contain_text("brisk-otter", timeout=PATIENCE)
    assert page.get_by_role("button", name="Delete", exact=True).is_hidden()
    other = visit("?page=runs&run=../../etc")
    expect(other.locator("#ir-runs-message")).to_contain_text("There is no run")


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


def test_a_run_that_is_opened_while_it_trains_gets_its_report_when_it_ends(visit):
    page = visit()
    run = start(page, "240")
    page.goto(page.url.split("?")[0] + f"?page=runs&run={run}")
    expect(page.locator("#live-runs .irl-badge")).to_have_text("running", timeout=PATIENCE)
    expect(page.locator("#ir-zip")).to_be_hidden()
    expect(page.locator("#live-runs .irl-badge")).to_have_text("finished", timeout=2 * PATIENCE)
    expect(page.locator("#ir-report")).to_contain_text("No clear difference")
    expect(page.locator("#ir-zip")).to_be_visible()
