"""The live view in a real chromium, on runs that are written while it looks."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from urllib.parse import urlparse

import numpy as np
import pytest
from playwright import sync_api

from irtuning import events
from irtuning.insight.history import RunHistory
from irtuning.runs.process import claim
from tests.browser.live_serving import live_run, served
from tests.simulated import plain, simulate, write_run

pytestmark = pytest.mark.browser

expect = sync_api.expect
PATIENCE = 25_000
expect.set_options(timeout=PATIENCE)
CHART = ".irl-chart"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def address(home):
    with served(home) as where:
        yield where


@pytest.fixture
def visit(chromium, address):
    """Opens a run; at the end no script may have failed and no other host been asked."""
    contexts, faults = [], []

    def open_page(run: str, **options):
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, **options) if "viewport" not in options \
            else chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("request", lambda r: faults.append(r.url) if urlparse(r.url).hostname not in (None, "", "127.0.0.1") else None)
        page.add_init_script(
            "window.told = {painted: [], state: [], open: []};"
            "for (const name of ['painted', 'state', 'open'])"
            "  window.addEventListener('irtuning:' + name, (event) => told[name].push(event.detail));"
        )
        page.goto(f"{address}?run={run}", wait_until="domcontentloaded")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def follow(home):
    """Starts runs that are written live; none outlives its test."""
    writers = []

    def start(run: str, **options):
        writers.append(live_run(home, run, **options))
        return writers[-1]

    yield start
    for writer in writers:
        writer.kill()
        writer.wait(10)


def painted(page, step: int) -> None:
    page.wait_for_function("(step) => told.painted.some((seen) => seen.step >= step)", arg=step)


def spot(page, layer: int, step: int) -> tuple[float, float]:
    """Where a cell is on the screen."""
    return tuple(page.evaluate(
        "([layer, step]) => { const node = document.querySelector('.irl-chart'), box = node.getBoundingClientRect(),"
        " {xaxis, yaxis} = node._fullLayout;"
        " return [box.left + xaxis._offset + xaxis.d2p(step), box.top + yaxis._offset + yaxis.d2p(layer)]; }",
        [layer, step],
    ))


def visible_range(page) -> list[float]:
    return page.evaluate("document.querySelector('.irl-chart').layout.xaxis.range")


def zoomed_to(page, first: int, last: int) -> list[float]:
    """Draws over these steps with the mouse; what is visible then."""
    (left, top), (right, _) = spot(page, 2, first), spot(page, 2, last)
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(right, top + 5, steps=4)
    page.mouse.up()
    return visible_range(page)


def cells(page) -> tuple[list[list[float | None]], float, float]:
    """Shades, layer by column (frozen from 0 to 1, trained from 1 to 2, never measured None), and what 0 and 1 stand for."""
    shades, scale = page.evaluate(
        "() => { const node = document.querySelector('.irl-chart'), meta = node.layout.meta;"
        " return [node.data[meta.traces.cells].z.map((row) => Array.from(row)), meta.scale]; }"
    )
    return shades, *scale


def test_a_run_is_followed_on_one_node_that_keeps_its_zoom_and_its_step(visit, follow, home):
    follow("swift-otter-0001", steps=40, every=0.4)
    page = visit("swift-otter-0001")
    painted(page, 5)
    adapter = home / "swift-otter-0001" / "adapter" / "adapter_model.safetensors"
    adapter.parent.mkdir()
    adapter.write_bytes(b"weights")
    page.evaluate("document.querySelector('.irl-chart').mark = document.querySelector('.irl-chart .main-svg').mark = 7")
    expect(page.locator(".irl-facts")).to_contain_text("of 40")
    assert page.title().endswith("% · swift-otter")
    zoom = zoomed_to(page, 1, 4)
    assert zoom[1] - zoom[0] < 5
    page.mouse.click(*spot(page, 9, 3))
    expect(page.locator(".irl-why h3")).to_have_text("Why these layers at step 3")
    seen = page.evaluate("told.painted.at(-1).step")
    painted(page, seen + 4)
    assert visible_range(page) == zoom
    expect(page.locator(".irl-why h3")).to_have_text("Why these layers at step 3")
    page.get_by_role("button", name="All steps").click()
    page.get_by_role("button", name="Back to live").click()
    expect(page.locator(".irl-badge")).to_have_text("finished")
    expect(page.locator(".irl-why h3")).to_have_text("Why these layers at step 40")
    assert visible_range(page) == [0.5, 40.5]
    assert page.title() == "✓ swift-otter"
    assert page.evaluate("[document.querySelector('.irl-chart').mark, document.querySelector('.irl-chart .main-svg').mark]") == [7, 7]
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    assert [change["state"] for change in page.evaluate("told.state")] == ["running", "finished"]
    page.get_by_role("button", name="Try its adapter").click()
    assert page.evaluate("told.open") == [{"page": "classify", "adapter": "swift-otter-0001"}]


def test_a_stopped_run_without_an_adapter_offers_none_to_try_and_is_followed_once_it_goes_on(visit, home):
    made = list(simulate(layers=6, steps=5))
    folder = write_run(home, "bare-otter-0001", iter([*made[:-1], events.Stopped(what="No adapter was saved.")]))
    page = visit("bare-otter-0001")
    expect(page.locator(".irl-badge")).to_have_text("stopped")
    expect(page.get_by_role("button", name="Open in Runs")).to_be_visible()
    expect(page.get_by_role("button", name="Try its adapter")).to_be_hidden()
    claim(folder)
    with (folder / "events.jsonl").open("a") as stream:
        stream.writelines(events.to_line(event) + "\n" for event in (events.Resumed(from_step=3), made[-6]))
    expect(page.locator(".irl-badge")).to_have_text("running")
    expect(page.locator(".irl-facts")).to_contain_text("step 4 of 5")


def test_what_is_drawn_is_what_was_chosen(visit, home):
    made = plain(*simulate(layers=12, steps=30))
    write_run(home, "calm-heron-0001", simulate(layers=12, steps=30))
    page = visit("calm-heron-0001")
    painted(page, 30)
    history = RunHistory()
    history.feed(made)
    shades, low, high = cells(page)
    ratios = history.scores / history.medians[:, None]
    np.testing.assert_allclose([low, high], np.nanpercentile(ratios, [5, 95]), rtol=1e-5)
    for layer in range(12):
        shade = None
        for column in range(30):
            trains = history.selected[column, layer]
            if trains:
                shade = min(0.999, max(0.001, (ratios[column, layer] - low) / (high - low)))
            expected = None if shade is None else pytest.approx(shade + trains, abs=1e-4)
            assert shades[layer][column] == expected


def test_another_run_is_shown_on_the_same_node(visit, home):
    write_run(home, "first-finch-0001", simulate(layers=6, steps=20))
    write_run(home, "second-finch-0002", simulate(layers=30, steps=25, method="full"), config={"tuning_method": "full"})
    page = visit("first-finch-0001")
    painted(page, 20)
    page.evaluate("document.querySelector('.irl-chart').mark = 7")
    zoomed_to(page, 5, 12)
    expect(page.get_by_role("button", name="All steps")).to_be_visible()
    page.get_by_role("textbox", name="run").fill("second-finch-0002")
    page.get_by_role("textbox", name="run").press("Enter")
    painted(page, 25)
    expect(page.locator(".irl-name")).to_have_text("second-finch")
    expect(page.locator(".irl-told").first).to_have_text("Every layer trains at every step.")
    assert page.evaluate("document.querySelector('.irl-chart').mark") == 7
    assert len(cells(page)[0]) == 30
    assert visible_range(page) == [0.5, 25.5]
    expect(page.get_by_role("button", name="All steps")).to_be_hidden()
    page.get_by_role("textbox", name="run").fill("no-such-run")
    page.get_by_role("textbox", name="run").press("Enter")
    expect(page.locator(".irl-said")).to_contain_text("There is no run called")


def test_markup_is_shown_as_text(visit, home):
    made = list(simulate(layers=6, steps=5))
    notice = events.Notice(level="warning", text="<img src=x onerror='window.bad = 1'>")
    failed = events.Failed(what="It broke on <b>this</b>.", advice="Look at <i>that</i>.")
    write_run(home, "odd-vole-0001", iter([*made[:-3], notice, failed]), config={"name": "<u>odd</u>"})
    page = visit("odd-vole-0001")
    expect(page.locator(".irl-notices li")).to_have_text(notice.text)
    expect(page.locator(".irl-name")).to_have_text("<u>odd</u>")
    expect(page.locator(".irl-said")).to_have_text("It broke on <b>this</b>. Look at <i>that</i>.")
    assert page.locator(".ir-live :is(img, b, i, u)").count() == 0
    assert page.evaluate("window.bad") is None


def test_arrow_keys_move_over_the_cells(visit, home):
    write_run(home, "keen-lark-0001", simulate(layers=8, steps=12))
    page = visit("keen-lark-0001")
    painted(page, 12)
    page.locator(CHART).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".irl-tip-title")).to_have_text("layer 5, step 11")
    expect(page.locator(".irl-why h3")).to_have_text("Why these layers at step 11")
    page.keyboard.press("Home")
    expect(page.locator(".irl-told").first).to_have_text("Nothing was measured yet: the first choice is random.")
    page.keyboard.press("Escape")
    expect(page.locator(".irl-tip")).to_be_hidden()
    expect(page.locator(".irl-why h3")).to_have_text("Why these layers at step 12")


def test_hover_tells_layer_step_score_and_choice(visit, home):
    write_run(home, "late-lark-0001", simulate(layers=8, steps=12))
    history = RunHistory()
    history.feed(plain(*simulate(layers=8, steps=12)))
    layer = int((~history.selected[11]).argmax())
    page = visit("late-lark-0001")
    painted(page, 12)
    page.mouse.move(*spot(page, layer, 12))
    told = page.locator(".irl-tip").inner_text().split("\n")
    last = int(history.last_measured(13)[layer])
    assert told[0] == f"layer {layer}, step 12"
    assert told[1].startswith(f"last score {history.scores[last, layer]:.4g}"[:15])
    assert told[2:] == ["frozen in this step", f"last measured in step {last + 1}"]
    page.mouse.move(5, 5)
    expect(page.locator(".irl-tip")).to_be_hidden()


def test_on_a_phone_a_tap_does_what_a_hover_does_and_nothing_is_cut(visit, home):
    write_run(home, "small-wren-0001", simulate(layers=30, steps=60))
    page = visit("small-wren-0001", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    painted(page, 60)
    page.locator(CHART).scroll_into_view_if_needed()
    page.touchscreen.tap(*spot(page, 12, 30))
    expect(page.locator(".irl-tip-title")).to_have_text("layer 12, step 30")
    expect(page.locator(".irl-why h3")).to_have_text("Why these layers at step 30")
    page.touchscreen.tap(20, 20)
    expect(page.locator(".irl-tip")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    rows = page.evaluate("document.querySelector('.irl-chart')._fullLayout.yaxis._length") / 30
    sizes = page.evaluate(
        "[...document.querySelectorAll('.ir-live *')]"
        ".filter((e) => e.childElementCount === 0 && e.textContent.trim() && e.getClientRects().length)"
        ".map((e) => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert rows >= 10
    assert min(sizes) >= 12


def test_colours_follow_the_page_and_the_zoom_stays(visit, home):
    write_run(home, "dark-crow-0001", simulate(layers=6, steps=30))
    page = visit("dark-crow-0001")
    painted(page, 30)
    zoom = zoomed_to(page, 5, 20)
    page.evaluate("document.body.classList.toggle('dark')")
    page.wait_for_function("document.querySelector('.irl-chart').data[0].colorscale.at(-1)[1] === '#fde725'")
    assert visible_range(page) == zoom != [0.5, 30.5]


def test_relative_and_raw_norms(visit, home):
    write_run(home, "raw-robin-0001", simulate(layers=6, steps=30))
    page = visit("raw-robin-0001")
    painted(page, 30)
    page.get_by_role("button", name="raw").click()
    history = RunHistory()
    history.feed(plain(*simulate(layers=6, steps=30)))
    layer = int(history.selected[29].argmax())
    low, high = np.nanpercentile(history.scores, [5, 95])
    page.wait_for_function("(low) => Math.abs(document.querySelector('.irl-chart').layout.meta.scale[0] - low) < 1e-4", arg=low)
    shade = min(0.999, max(0.001, (history.scores[29, layer] - low) / (high - low)))
    assert cells(page)[0][layer][29] == pytest.approx(1 + shade, abs=1e-3)


def test_stop_is_asked_for_once_and_said(visit, follow, home):
    follow("long-loon-0001", steps=400, every=0.3)
    page = visit("long-loon-0001")
    painted(page, 2)
    stop = page.get_by_role("button", name="Stop", exact=True)
    # Refused after the page was hidden and seen again, it can be asked for once more.
    server, refusal = re.compile("component_server"), {"error": "It cannot be stopped."}
    page.route(server, lambda r: r.fulfill(json=refusal) if "stop_run" in r.request.post_data else r.continue_())
    stop.evaluate("(button) => { button.click(); document.dispatchEvent(new Event('visibilitychange')); }")
    expect(stop).to_be_enabled()
    seen = page.evaluate("told.painted.at(-1).step")
    painted(page, seen + 2)
    expect(page.locator("[role=status].irl-said")).to_have_text("It cannot be stopped.")
    page.unroute(server)
    # The button says so before the server is asked.
    with page.expect_response(lambda r: "component_server" in r.url and json.loads(r.request.post_data)["fn_name"] == "stop_run"):
        stop.click()
    expect(page.get_by_role("button", name="Stopping …")).to_be_disabled()
    expect(page.locator("[role=status].irl-said")).to_be_hidden()
    assert (home / "long-loon-0001" / "stop").exists()
    expect(visit("long-loon-0001").get_by_role("button", name="Stopping …")).to_be_disabled()


def test_a_run_whose_process_is_gone_is_lost_with_advice(visit, follow):
    writer = follow("lone-lynx-0001", steps=400, every=0.2)
    page = visit("lone-lynx-0001")
    painted(page, 3)
    writer.kill()
    writer.wait(10)
    expect(page.locator(".irl-badge")).to_have_text("lost")
    expect(page.locator(".irl-said")).to_contain_text("train --resume goes on from its last checkpoint")


def test_before_training_the_phase_is_said_once_and_its_seconds_run_beside_it(visit, home):
    waiting, loading = list(simulate(steps=3))[:2]
    waiting = waiting.model_copy(update={"started": datetime.now(UTC).isoformat()})
    claim(write_run(home, "slow-stoat-0001", iter([waiting, loading])))
    page = visit("slow-stoat-0001")
    expect(page.locator(".irl-name")).to_have_text("slow-stoat")
    expect(page.locator(".irl-badge")).to_have_text("running")
    said, since = page.locator("[role=status].irl-said"), page.locator(".irl-since")
    expect(said).to_contain_text("…")
    expect(since).to_have_text(re.compile(r"\d+ s$"))
    first, words = since.inner_text(), said.inner_text()
    expect(since).not_to_have_text(first)
    assert said.inner_text() == words
    assert not re.search(r"\d", words), "a screen reader would read it anew each second"
    expect(page.locator(".irl-body")).to_be_hidden()


def test_a_run_that_waits_shows_its_name_and_no_picture(visit, home):
    folder = write_run(home, "late-stoat-0002", iter(list(simulate(steps=3))[:1]))
    (folder / "private.json").write_text("{}")  # made here, so that it waits
    page = visit("late-stoat-0002")
    expect(page.locator(".irl-name")).to_have_text("late-stoat")
    expect(page.locator(".irl-badge")).to_contain_text("waiting")
    expect(page.locator(".irl-body")).to_be_hidden()
