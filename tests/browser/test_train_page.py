"""The Train page in a real browser: start, watch, stop, and what a person types wrong."""

from __future__ import annotations

import re

import pytest

from tests.browser.live_serving import live_run
from tests.browser.pages import PATIENCE, expect, setting, start

pytestmark = pytest.mark.browser


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
    run = start(page, "120")
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


def test_a_run_started_below_open_folds_comes_into_sight(visit):
    page = visit()
    page.get_by_role("button", name="Choosing layers").click()
    page.get_by_role("button", name="Machine and memory").click()
    start(page, "3")
    page.wait_for_function("(() => { const { top } = document.getElementById('ir-watch').getBoundingClientRect();"
                           " return top >= 0 && top < innerHeight / 2 })()")


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
    third = start(page, "998").rsplit("-", 1)[0]
    waiting.get_by_role("button", name=f"Cancel {second.rsplit('-', 1)[0]}").press("Enter")
    expect(waiting).not_to_contain_text(second.rsplit("-", 1)[0])
    expect(waiting.get_by_role("button", name=f"Cancel {third}")).to_be_focused()
    waiting.get_by_role("button", name=first.rsplit("-", 1)[0], exact=True).click()
    expect(page.locator("#live .irl-name")).to_have_text(first.rsplit("-", 1)[0])
    waiting.get_by_role("button", name="Cancel").click()
    expect(waiting).not_to_contain_text("waits")
    page.locator("#live").get_by_role("button", name="Stop").click()
    expect(page.locator("#live .irl-badge")).to_have_text("stopped", timeout=PATIENCE)


def test_a_wrong_value_is_one_sentence_and_nothing_is_lost(visit):
    page = visit()
    page.get_by_role("button", name="More settings").click()
    setting(page, "Learning rate").fill("nan")
    setting(page, "Seed").fill("7")
    page.locator("#ir-start").click()
    expect(page.locator("#ir-message")).to_contain_text("Learning rate")
    assert setting(page, "Learning rate").input_value() == "nan"
    assert setting(page, "Seed").input_value() == "7"
    assert "run=" not in page.url


@pytest.mark.parametrize("width", [1440, 390])
def test_what_is_wrong_with_a_value_is_said_in_sight_of_its_box_in_a_long_fold(visit, width):
    page = visit(width=width, height=700)
    page.get_by_role("button", name="Choosing layers").click()
    box = setting(page, "Splits")
    box.evaluate("element => scrollTo(0, element.getBoundingClientRect().top + scrollY - 120)")
    estimate = page.locator("#ir-estimate")
    expect(estimate).not_to_be_in_viewport()
    box.fill("much")
    expect(estimate.locator(".ir-warning")).to_be_in_viewport(ratio=1, timeout=PATIENCE)
    expect(box).to_be_in_viewport()
    box.fill("")
    expect(estimate).to_contain_text("on this machine", timeout=PATIENCE)
    expect(estimate).not_to_be_in_viewport()


def test_an_empty_box_shows_what_holds_for_the_model_on_the_corpus(visit):
    page = visit()
    page.get_by_role("button", name="More settings").click()
    rate = setting(page, "Learning rate")
    expect(rate).to_have_attribute("placeholder", "0.002")
    page.get_by_role("combobox", name="Corpus").fill("path/to/corpus.csv")
    page.get_by_role("combobox", name="Corpus").press("Enter")
    expect(rate).to_have_attribute("placeholder", "0.001", timeout=PATIENCE)


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
    # Chosen again, it takes back what was typed since.
    page.get_by_role("button", name="More settings").click()
    copy = page.locator("#ir-snippets [data-copy]").first
    copy.click()
    setting(page, "Seed").fill("7")
    expect(page.locator("#ir-snippets code").first).to_contain_text("--seed 7")
    page.wait_for_timeout(1500)
    expect(copy).to_have_text("Copy")
    page.locator("#ir-presets").get_by_text("A real LLM").click()
    expect(setting(page, "Seed")).to_have_value("")
    expect(page.locator("#ir-snippets code").first).not_to_contain_text("--seed")


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
    page.wait_for_timeout(2100)  # the same request sooner counts as a double click
    page.get_by_role("button", name="Run again").click()
    page.wait_for_function("(run) => !location.search.includes('page=') && !location.search.includes(run)", arg=run)
    expect(page.get_by_role("combobox", name="Corpus")).to_have_value("A file of your own", timeout=PATIENCE)
    expect(page.get_by_role("combobox", name="Intention")).to_have_value("why")
    page.wait_for_timeout(2100)
    assert start(page) != run


def test_a_half_written_file_is_one_sentence(visit, tmp_path):
    torn = tmp_path / "torn.jsonl"
    torn.write_text('{"before": "a", "after": "b", "label": "x"}\n{"before": "a", "af')
    page = visit()
    page.get_by_role("combobox", name="Corpus").click()
    page.get_by_role("option", name="A file of your own").click()
    page.set_input_files("#ir-own input[type=file]", str(torn))
    expect(page.locator("#ir-own-preview .ir-warning")).to_contain_text("torn.jsonl")


def test_on_a_phone_a_run_that_is_on_comes_before_the_form(visit):
    page = visit(width=390, height=844)
    expect(page.locator("#live")).to_contain_text("recorded", timeout=PATIENCE)
    assert page.locator("#ir-form").bounding_box()["y"] < page.locator("#ir-watch").bounding_box()["y"]
    start(page, "1000")
    expect(page.locator("#live .irl-badge")).to_have_text("running", timeout=PATIENCE)
    assert page.locator("#ir-form").bounding_box()["y"] > page.locator("#ir-watch").bounding_box()["y"]


def test_a_link_shows_its_run_whichever_answer_comes_last(visit, served):
    live_run(served[1], "calm-heron-0a0a", layers=4, steps=3, every=0.01).wait(PATIENCE / 1000)
    page = visit("?page=classify")
    held = []
    # What the page asks on opening, in any order: what the tab asks is answered last.
    selects = '"value":"Train"'
    page.route("**/queue/join*", lambda route: held.append(route) if selects in route.request.post_data else route.continue_())
    page.goto(page.url.partition("?")[0] + "?run=calm-heron-0a0a")
    expect(page.locator("#live")).to_contain_text("calm-heron", timeout=PATIENCE)
    assert held
    for route in held:
        route.continue_()
    page.wait_for_timeout(2000)
    expect(page.locator("#live")).to_contain_text("calm-heron")


def test_leaving_the_models_box_changes_nothing_and_another_model_brings_its_adapter(visit):
    page = visit()
    row = lambda name: page.get_by_role("combobox", name=name)  # noqa: E731
    row("Adapter").first.click()
    page.get_by_role("option", name="DoRA, rank 32", exact=True).click()
    row("Model").click()
    page.keyboard.press("Tab")
    page.wait_for_timeout(500)
    expect(row("Adapter").first).to_have_value("DoRA, rank 32")
    row("Model").click()
    page.get_by_role("option", name="Llama 3.1 8B").click()
    expect(row("Adapter").first).to_have_value("LoRA, rank 32")


def test_a_setting_that_the_next_model_has_by_itself_does_not_stand_in_the_way(visit):
    page = visit()
    page.get_by_role("button", name="More settings").click()
    page.get_by_role("combobox", name="Instruction").first.click()
    page.get_by_role("option", name="yes", exact=True).click()
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="Llama 3.1 8B").click()
    expect(page.locator("#ir-estimate")).to_contain_text("smaller model", timeout=PATIENCE)
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="MiniLM").click()
    run = start(page, "3")
    expect(page.locator("#live .irl-badge")).to_have_text("finished", timeout=PATIENCE)
    assert run


def test_a_file_that_is_named_is_looked_at_and_its_columns_can_be_said(visit, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("\n".join(["old,new,why", *(f"before {i},after {i},{'ab'[i % 2]}" for i in range(40))]), encoding="utf-8")
    page = visit()
    box = page.get_by_role("combobox", name="Corpus")
    box.fill(str(mine))
    box.press("Enter")
    expect(page.locator("#ir-own-preview")).to_contain_text("first 5 of 40 rows", timeout=PATIENCE)
    page.get_by_role("combobox", name="Intention").click()
    page.get_by_role("option", name="why").click()
    start(page, "3")
    expect(page.locator("#live .irl-badge")).to_have_text("finished", timeout=PATIENCE)
