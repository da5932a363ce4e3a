"""All pages in a real browser: the address, phones, sizes of text, and Classify's refusals."""

from __future__ import annotations

import re

import pytest

from tests.browser.pages import PATIENCE, RECORDED, expect

pytestmark = pytest.mark.browser


def test_a_pair_that_cannot_be_classified_is_one_sentence(visit):
    page = visit("?page=classify")
    page.get_by_label("Before").fill("The same.")
    page.get_by_label("After").fill("The same.")
    page.locator("#ir-classify-go").click()
    expect(page.locator("#ir-answer .ir-warning")).to_be_visible()
    assert page.get_by_label("Before").input_value() == "The same."


def test_a_link_to_an_adapter_that_is_gone_says_which_one_answers(visit):
    page = visit("?page=classify&adapter=gone-heron-0b0b")
    expect(page.locator(".toast-body")).to_contain_text("There is no adapter gone-heron-0b0b here", timeout=PATIENCE)
    expect(page.get_by_role("combobox", name="Adapter").last).to_have_value(re.compile("comes with the studio"))
    assert page.get_by_text("is not in the list of choices").count() == 0


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


def test_the_browsers_back_leads_from_a_run_to_the_list_and_on(visit):
    page = visit()
    page.get_by_role("tab", name="Runs").click()
    page.locator(f"[data-run={RECORDED}]").press("Enter")
    page.wait_for_function("(run) => location.search === `?page=runs&run=${run}`", arg=RECORDED)
    expect(page.locator("#ir-back")).to_be_focused()
    page.go_back()
    expect(page.locator(f"[data-run={RECORDED}]")).to_be_visible()
    assert page.evaluate("location.search") == "?page=runs"
    page.go_back()
    expect(page.locator("#ir-start")).to_be_visible()
    page.go_forward()
    page.go_forward()
    expect(page.locator("#ir-back")).to_be_visible()
    expect(page.locator("#live-runs")).to_contain_text("brisk-otter", timeout=PATIENCE)


def test_a_picture_and_its_sentence_that_do_not_come_are_asked_for_again(visit):
    page = visit("?page=classify")
    server = re.compile("component_server")
    page.route("**/plotly.min.js", lambda route: route.abort())
    page.route(server, lambda route: route.abort() if "explain_step" in route.request.post_data else route.continue_())
    page.goto(page.url.partition("?")[0] + f"?page=runs&run={RECORDED}")
    view = page.locator("#live-runs")
    expect(view.locator(".irl-said")).to_contain_text("The picture could not be drawn; trying again", timeout=PATIENCE)
    page.unroute("**/plotly.min.js")
    expect(view.locator(".irl-chart .main-svg").first).to_be_visible(timeout=PATIENCE)
    expect(view.locator(".irl-said")).not_to_contain_text("could not be drawn")
    expect(view.locator("h3")).to_be_empty()
    page.unroute(server)
    expect(view.locator("h3")).to_contain_text("at step 40", timeout=PATIENCE)


def test_a_link_points_at_a_step(visit):
    page = visit(f"?page=runs&run={RECORDED}&step=12")
    view = page.locator("#live-runs")
    expect(view.locator("h3")).to_contain_text("at step 12", timeout=PATIENCE)
    view.locator(".js-plotly-plot").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("new URLSearchParams(location.search).get('step') === '13'")
    page.get_by_role("button", name="All runs").press("Enter")
    page.wait_for_function("location.search === '?page=runs'")
    expect(page.locator(f"[data-run={RECORDED}]")).to_be_focused()


@pytest.mark.parametrize(("query", "there"), [
    ("", "#live .irl-name"), ("?page=runs", f"[data-run={RECORDED}]"), (f"?page=runs&run={RECORDED}", "#live-runs .irl-name"),
    ("?page=classify", "#ir-classify-go"),
])
def test_a_phone_never_scrolls_sideways_and_cuts_no_tab(visit, query, there):
    page = visit(query, width=390, height=844)
    expect(page.get_by_role("tab")).to_have_count(3, timeout=PATIENCE)
    expect(page.locator(there)).to_be_visible(timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for tab in page.get_by_role("tab").all():
        box = tab.bounding_box()
        assert 0 <= box["x"] <= 390 - box["width"]


def test_no_text_is_smaller_than_12_pixels(visit):
    page = visit(f"?page=runs&run={RECORDED}")
    expect(page.locator("#live-runs")).to_contain_text("brisk-otter", timeout=PATIENCE)
    small = page.evaluate("""() => [...document.querySelectorAll('.gradio-container *')].filter((e) =>
        [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) && e.checkVisibility() &&
        parseFloat(getComputedStyle(e).fontSize) < 12).map((e) => e.textContent.slice(0, 40))""")
    assert small == []
