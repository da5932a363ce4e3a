"""The Runs page: the list, and one run opened: its picture, what came out, and what can be done with it."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from irtuning.config import RunConfig
from irtuning.errors import RunError, StudioError
from irtuning.ui import form
from irtuning.ui.corpus import uploaded
from irtuning.ui.live import live_view
from irtuning.ui.parts import static, warning
from irtuning.ui.pictures import Pictures
from irtuning.ui.report import report
from irtuning.ui.run_list import run_list, stamp
from irtuning.ui.studio import QUIET, Studio
from irtuning.ui.train import TrainPage
from irtuning.ui.words import text

DOWNLOAD = "irtuning-download-"
OPENED = "(run) => irtuning.opened(run)"


@dataclass
class RunsPage:
    """What the shell needs of the page.

    Attributes:
        list: the rows. outputs: what `opened` gives values for. live: the opened run's view; its value is the run's id.
    """

    list: gr.HTML
    live: gr.HTML
    outputs: list[Any]
    _studio: Studio
    _pictures: Pictures = field(default_factory=lambda: Pictures(None))

    def rows(self) -> str:
        """The list as it stands."""
        return run_list(self._studio.store.list(), self._pictures.of)

    def news(self, known: str) -> dict[str, str]:
        """What an open list asks: {"stamp"} where it is the one that is known, else {"stamp", "rows"}."""
        runs = self._studio.store.list()
        now = stamp(runs)
        return {"stamp": now} if now == known else {"stamp": now, "rows": run_list(runs, self._pictures.of)}

    def opened(self, run: str) -> list[Any]:
        """Values of `outputs` that show one run; without one, or where there is none of that name, the list."""
        store = self._studio.store
        message = ""
        if run:
            try:
                summary = store.summary(run)
                return [
                    gr.skip(), gr.Column(visible=False), gr.Column(visible=True), run,
                    report(store.config(run), store.metrics(run), public=not self._studio.paths_allowed()), "",
                    *self._actions(summary), gr.Column(visible=False),
                ]
            except StudioError as error:
                message = warning(error)
        hidden = [gr.Button(visible=False)] * 4
        return [
            self.rows(), gr.Column(visible=True), gr.Column(visible=False), "", "", message, *hidden, gr.Column(visible=False)
        ]

    def _actions(self, summary: dict[str, Any]) -> list[Any]:
        """Which buttons a run has: again, ZIP, events, delete; on a public host nobody deletes what may be another's."""
        over = summary["state"] not in ("running", "queued")
        adapter = over and summary["has_adapter"]
        return [
            gr.Button(visible=True), gr.Button(visible=adapter), gr.Button(visible=True),
            gr.Button(visible=over and not summary["recorded"] and self._studio.paths_allowed()),
        ]


def runs_page(studio: Studio, train: TrainPage) -> RunsPage:
    """Builds the page inside the current gr.Blocks context."""

    def news(known: Any = None) -> dict[str, str]:
        """The stamp of the list that is shown -> what is new."""
        return page.news(str(known))

    with gr.Column(elem_id="ir-runs", elem_classes="ir-page", min_width=0):
        message = static(elem_id="ir-runs-message")
        with gr.Column(min_width=0) as listing:
            rows = gr.HTML(
                "", js_on_load="irtuning.list(element, trigger, props, server);", server_functions=[news],
                elem_id="ir-run-list", apply_default_css=False,
            )
        with gr.Column(visible=False, min_width=0) as detail:
            with gr.Row(elem_id="ir-actions"):
                back = gr.Button("All runs", elem_id="ir-back", min_width=0)
                again = gr.Button("Run again", min_width=0, elem_id="ir-again")
                adapter = gr.Button("Adapter (ZIP)", min_width=0, elem_id="ir-zip")
                events = gr.Button("Events", min_width=0, elem_id="ir-events")
                delete = gr.Button("Delete", min_width=0, elem_id="ir-delete")
            with gr.Row(visible=False, elem_id="ir-confirm", elem_classes="ir-note") as confirm:
                asked = static()
                sure = gr.Button("Delete it for good", min_width=0, variant="stop", elem_id="ir-sure")
                not_sure = gr.Button("Keep it", min_width=0, elem_id="ir-not-sure")
            with gr.Column(elem_classes="ir-panel", min_width=0):
                live = live_view(studio.store, stop=studio.launcher.stop, elem_id="live-runs")
            told = static(elem_id="ir-report")
            fetched = gr.DownloadButton("Download", elem_id="ir-fetched", elem_classes="ir-hidden")
    outputs = [rows, listing, detail, live, told, message, again, adapter, events, delete, confirm]
    page = RunsPage(rows, live, outputs, studio, Pictures(studio.store))

    def chosen(event: gr.EventData) -> list[Any]:
        return page.opened(str(event._data.get("run") or ""))

    def start_again(http: gr.Request, run: str) -> list[Any]:
        try:
            config, preset = request_of(studio, run)
            own = uploaded(config.dataset_name or "", studio.store.home)
            new, words = train.starter.start(config, preset, visitor=http.session_hash or "", own_corpus=own)
        except StudioError as error:
            return [warning(error), *[gr.skip()] * (1 + len(train.controls) + len(train.own_outputs))]
        gr.Info(f"{text(new)}: {text(words or 'it starts with the same settings.')}")
        return ["", new, *train.refilled(config)]

    def remove(run: str) -> list[Any]:
        try:
            if not studio.paths_allowed():
                raise RunError("Runs are not deleted from a page that everybody can open.", "Whoever runs this host can.")
            studio.store.delete(run)
        except StudioError as error:
            values = page.opened(run)
            values[outputs.index(message)] = warning(error)
            return values
        return page.opened("")

    rows.select(chosen, None, outputs, **QUIET).then(None, live, None, js=OPENED)
    back.click(lambda: page.opened(""), None, outputs, **QUIET).then(None, live, None, js=OPENED)
    delete.click(lambda run: (gr.Row(visible=True), _question(run)), live, [confirm, asked], **QUIET)
    not_sure.click(lambda: gr.Row(visible=False), None, confirm, **QUIET)
    sure.click(remove, live, outputs, **QUIET).then(None, live, None, js=OPENED)
    for button, what in ((adapter, "adapter"), (events, "events")):
        button.click(lambda run, what=what: download(studio, run, what), live, [fetched, message], **QUIET).success(
            None, message, None, js="(failed) => { if (!failed) irtuning.fetch('#ir-fetched'); }"
        )
    again.click(start_again, live, [message, train.live, *train.controls, *train.own_outputs], **QUIET).success(
        None, [train.live, message], None, js="(run, failed) => { if (!failed) irtuning.watch(run); }"
    )
    return page


def request_of(studio: Studio, run: str) -> tuple[RunConfig, str]:
    """The request a run was made from, with the paths of this machine put back, and its preset's name or empty.

    Raises:
        StudioError: there is no such run, or its settings are none that this version takes.
    """
    config = studio.store.run_config(run).shortest()
    return config, form.preset_of(config.model_name)


def download(studio: Studio, run: str, what: str) -> tuple[str | None, str]:
    """(a file for the visitor, None where it cannot be made; what is wrong then, as markup).

    Args:
        what: `adapter` or `events`.
    """
    try:
        return str(_file(studio, run, what)), ""
    except (StudioError, OSError) as error:
        return None, warning(error)


def _file(studio: Studio, run: str, what: str) -> Path:
    """In a folder of its own; gradio copies it, so those of earlier visits can go."""
    for old in Path(tempfile.gettempdir()).glob(f"{DOWNLOAD}*"):
        if time.time() - old.stat().st_mtime > 3600:
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=DOWNLOAD))
    if what == "adapter":
        return studio.store.zip_adapter(run, folder / f"{run}-adapter.zip")
    target = folder / f"{run}-events.jsonl"
    target.write_bytes(studio.store.events_path(run).read_bytes())
    return target


def _question(run: str) -> str:
    return f"<p>Delete <strong>{text(run)}</strong> with its adapter, events and figures? This cannot be undone.</p>"
