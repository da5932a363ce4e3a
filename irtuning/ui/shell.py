"""The house around the pages: heading, tabs, the address that carries the state, and what one page asks of another."""

from __future__ import annotations

from typing import Any

import gradio as gr

from irtuning.errors import StudioError
from irtuning.insight.machine import Machine
from irtuning.ui import api
from irtuning.ui.address import PAGES, read_query
from irtuning.ui.classify import ClassifyPage, classify_page
from irtuning.ui.forecast import preset_spans
from irtuning.ui.parts import static
from irtuning.ui.presets import cards
from irtuning.ui.runs import RunsPage, runs_page
from irtuning.ui.studio import QUIET, Studio
from irtuning.ui.train import TrainPage, train_page
from irtuning.ui.words import text

TITLE = "IR-Tuning Studio"


def first_run(studio: Studio, asked: str, *, tell: bool = False) -> str:
    """The run that the Train page shows on a visit: the one asked for, else the one that trains now, else a recorded one
    (the one with the most layers), else none.

    Args:
        tell: say so where the one asked for is not there.
    """
    if asked:
        try:
            studio.store.state(asked)
            return asked
        except StudioError as error:
            if tell:
                gr.Warning(text(str(error)))
    rows = studio.store.list()
    training = [row["run"] for row in rows if row["state"] == "running"]
    if training:
        return training[0]
    recorded = sorted((row for row in rows if row["recorded"]), key=lambda row: row.get("layers") or 0)
    return recorded[-1]["run"] if recorded else ""


def build_ui(studio: Studio) -> gr.Blocks:
    """All pages and endpoints. Serve it with `theme.theme()`, `theme.STYLES` and `theme.head()`."""
    with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as blocks:
        heading = static(_heading(""), elem_id="ir-heading")
        with gr.Tabs(selected="train", overflow_behavior="wrap", elem_id="ir-pages") as tabs:
            with gr.Tab("Train", id="train") as train_tab:
                train = train_page(studio)
            with gr.Tab("Runs", id="runs") as runs_tab:
                runs = runs_page(studio, train)
            with gr.Tab("Classify", id="classify") as classify_tab:
                classify = classify_page(studio)
        bridge = gr.HTML(
            "", html_template="", js_on_load="irtuning.bridge(element, trigger); /* 'state' 'open' */",
            elem_id="ir-bridge", apply_default_css=False,
        )
        _wire_tabs(studio, (train_tab, runs_tab, classify_tab), train, runs, classify)
        _wire_bridge(studio, bridge, tabs, train, runs, classify)
        _wire_load(blocks, studio, bridge, tabs, heading, train, runs, classify)
        api.attach(studio.store, studio.launcher, studio.shelf, studio.paths_allowed)
    return blocks


def _offered(studio: Studio, machine: Machine | None) -> gr.HTML:
    """The cards, with how long each preset takes here by what has run so far."""
    return gr.HTML(cards=cards(machine, preset_spans(studio.store, machine), free=studio.paths_allowed()))


def _heading(machine: str) -> str:
    return f'<div class="ir-top"><h1>{TITLE}</h1><span class="ir-machine" title="Where runs train">{text(machine)}</span></div>'


def _wire_tabs(
    studio: Studio, tabs: tuple[gr.Tab, gr.Tab, gr.Tab], train: TrainPage, runs: RunsPage, classify: ClassifyPage
) -> None:
    for name, tab in zip(PAGES, tabs, strict=True):
        tab.select(None, None, None, js=f"() => irtuning.page('{name}')")
    train_tab, runs_tab, classify_tab = tabs
    # A visit that began on another page draws the Train page's run only once it is looked at. On one that begins here both this
    # and the load ask, and whichever answer comes last must be the same.
    train_tab.select(
        lambda asked: gr.skip() if asked is None else first_run(studio, asked), train.live, train.live,
        js="(run) => run || irtuning.asked() !== 'train' ? null : irtuning.run('train')", **QUIET,
    )
    runs_tab.select(runs.rows, None, runs.list, **QUIET)
    # The address knows the adapter before the page does: on a first visit both this and the load fill the choice.
    classify_tab.select(
        classify.choices, classify.adapter, classify.adapter,
        js="(adapter) => new URLSearchParams(location.search).get('adapter') || adapter", **QUIET,
    ).then(classify.warm, classify.adapter, None, **QUIET)


def _wire_bridge(
    studio: Studio, bridge: gr.HTML, tabs: gr.Tabs, train: TrainPage, runs: RunsPage, classify: ClassifyPage
) -> None:
    def opened(query: str) -> tuple[Any, ...]:
        address = read_query(str(query))
        watched = first_run(studio, address.run, tell=True) if address.page == "train" and address.run else gr.skip()
        shown = runs.opened(address.run) if address.page == "runs" else [gr.skip()] * len(runs.outputs)
        chosen = classify.choices(address.adapter, tell=True) if address.page == "classify" else gr.skip()
        return gr.Tabs(selected=address.page), watched, *shown, chosen

    def changed(event: gr.EventData, shown: str, *values: Any) -> list[Any]:
        """Once a run has ended: the estimates, as it may tell how long the next one takes, and what the Runs page shows of it."""
        if event._data.get("state") not in ("finished", "stopped", "failed", "lost"):
            return [gr.skip()] * (2 + len(runs.outputs))
        found = runs.opened(shown) if shown == event._data.get("run") else [gr.skip()] * len(runs.outputs)
        found[0], found[runs.outputs.index(runs.live)] = runs.rows(), gr.skip()
        machine = studio.probe.known()
        return [_offered(studio, machine), train.estimate(values, machine), *found]

    outputs = [tabs, train.live, *runs.outputs, classify.adapter]
    # The address is asked and not the event: of several in a row only the last place counts, and it is that one.
    bridge.open(opened, bridge, outputs, js="() => location.search", trigger_mode="always_last", **QUIET)
    bridge.state(changed, [runs.live, *train.inputs], [train.presets, train.note, *runs.outputs], **QUIET)


def _wire_load(
    blocks: gr.Blocks, studio: Studio, bridge: gr.HTML, tabs: gr.Tabs, heading: gr.HTML, train: TrainPage, runs: RunsPage,
    classify: ClassifyPage,
) -> None:
    def visit(query: str) -> tuple[Any, ...]:
        """What the address asks for, at once: nothing here waits for the machine to be known."""
        studio.probe.start()
        address = read_query(str(query))
        return (
            first_run(studio, address.run, tell=True) if address.page == "train" else "",
            *(runs.opened(address.run) if address.page == "runs" else [gr.skip()] * len(runs.outputs)),
            classify.choices(address.adapter, tell=True),
        )

    def learned(*values: Any) -> tuple[Any, ...]:
        machine = studio.probe.wait()
        return _heading(machine.words if machine else ""), _offered(studio, machine), train.estimate(values, machine)

    blocks.load(None, None, tabs, js="() => ({__type__: 'update', selected: irtuning.asked()})")
    blocks.load(visit, bridge, [train.live, *runs.outputs, classify.adapter], js="() => location.search", **QUIET)
    blocks.load(learned, train.inputs, [heading, train.presets, train.note], **QUIET)
