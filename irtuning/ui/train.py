"""The Train page: where a run is put together and started, beside the run that is watched.

Builds components and wires them; what the form means is `form`'s, what a run will take is `forecast`'s, and what
happens on Start is `starting`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.errors import ConfigError, StudioError
from irtuning.insight.machine import Machine
from irtuning.revisions.corpora import Columns
from irtuning.ui import form
from irtuning.ui.corpus import is_table, uploaded
from irtuning.ui.forecast import forecast
from irtuning.ui.limits import bounded
from irtuning.ui.live import live_view
from irtuning.ui.own_corpus import OwnCorpus, own_corpus
from irtuning.ui.parts import choice, static, warning
from irtuning.ui.parts import note as told
from irtuning.ui.presets import bring_note, presets
from irtuning.ui.snippets import command, python
from irtuning.ui.starting import Starter
from irtuning.ui.studio import QUIET, Studio
from irtuning.ui.waiting import waiting_list
from irtuning.ui.words import text

CORPUS, ADAPTER = 2, 5
"""Places among the form's controls."""
LATEST = {**QUIET, "trigger_mode": "always_last"}
"""For handlers that only describe the form: of many changes the last one counts."""
SHOW_RUN = "(run) => irtuning.show('train', run)"
SHOW_STARTED = "(run, message) => { if (!message.includes('ir-warning')) irtuning.show('train', run, true); }"

_SNIPPETS = """
<div class="ir-two-buttons">
  <button type="button" data-open="command" aria-expanded="${open === 'command'}">Command</button>
  <button type="button" data-open="python" aria-expanded="${open === 'python'}">Python</button>
</div>
<div class="ir-snippet" ${open === 'command' ? '' : 'hidden'}><pre tabindex="0"><code>${command}</code></pre>
  <button type="button" class="ir-small" data-copy>Copy</button></div>
<div class="ir-snippet" ${open === 'python' ? '' : 'hidden'}><pre tabindex="0"><code>${python}</code></pre>
  <button type="button" class="ir-small" data-copy>Copy</button></div>
"""


@dataclass
class TrainPage:
    """What the shell and the other pages need of the Train page.

    Attributes:
        live: the view of a run; its value is the run's id. presets: the cards. note: the estimate's place.
        controls: the form's components, in the order in which `filled` gives their values. inputs: all that a request is read from.
    """

    live: gr.HTML
    presets: gr.HTML
    note: gr.HTML
    controls: list[Any]
    inputs: list[Any]
    starter: Starter
    _studio: Studio
    _own: OwnCorpus

    def request(self, values: tuple[Any, ...]) -> RunConfig:
        """The request that the values of `inputs` stand for.

        Raises:
            StudioError: a value cannot be right, or a file is missing.
        """
        _, model, corpus, method, metric, adapter, *rest = values
        names = [field.name for field in form.folded_fields()]
        folded, own = dict(zip(names, rest, strict=False)), rest[len(names) :]
        columns: dict[str, str | None] = {}
        if corpus == form.OWN_FILE or self._own.shows(corpus, *own):
            corpus, columns = self._own.choice(*own)
        elif not self._studio.paths_allowed() and corpus not in catalogue.CORPORA:
            raise ConfigError("On this host only the corpora of the list can be trained on.", "Choose one of them.")
        config = form.read(
            model=model, corpus=corpus, method=method, metric=metric, adapter=adapter, folded=folded, columns=columns
        )
        # What is estimated and shown to copy is what this host will train.
        return config if self._studio.paths_allowed() else bounded(config)

    def estimate(self, values: tuple[Any, ...], machine: Machine | None) -> str:
        """What the form's run will take, as markup; what is wrong with the form, where something is."""
        try:
            kind, words = forecast(self._studio.store, self.request(values), machine)
        except StudioError as error:
            return warning(error)
        return warning(words) if kind == "warning" else told(words)

    def filled(self, config: RunConfig) -> list[Any]:
        """Values that make the form show a request, one for each of `controls`."""
        return [
            form.preset_of(config.model_name),
            config.model_name,
            config.dataset_name,
            form.method_of(config),
            config.importance_metric_name or form.usual(config)["importance_metric_name"],
            form.adapter_of(config),
            *form.folded_values(config).values(),
        ]

    def refilled(self, config: RunConfig) -> list[Any]:
        """As `filled`, for a request that was not made by this form, with what its corpus needs to be chosen again: updates of
        `controls`, then of `own_outputs`. Another visitor's file is neither shown nor chosen."""
        values = self.filled(config)
        values[ADAPTER] = gr.Dropdown(choices=form.adapter_choices(values[ADAPTER]), value=values[ADAPTER])
        columns = Columns(config.before_column, config.after_column, config.label_column, config.doc_column)
        name = config.dataset_name or ""
        kept = uploaded(name, self._studio.store.home)
        if kept and not self._studio.paths_allowed():
            values[CORPUS] = gr.skip()
        elif kept or (columns != Columns() and name not in catalogue.CORPORA and is_table(name)):
            values[CORPUS] = form.OWN_FILE
            return [*values, *self._own.shown(name, columns)]
        return [*values, *[gr.skip()] * len(self._own.outputs)]

    @property
    def own_outputs(self) -> list[Any]:
        """What shows a file of one's own."""
        return self._own.outputs


def train_page(studio: Studio) -> TrainPage:
    """Builds the page inside the current gr.Blocks context."""
    first = RunConfig().with_preset(catalogue.DEFAULT_PRESET)
    with gr.Row(elem_id="ir-train", elem_classes="ir-page"):
        with gr.Column(elem_id="ir-form", elem_classes="ir-panel", min_width=0):
            chosen = presets(studio.probe.known(), free=studio.paths_allowed())
            rows = _rows(first, studio.paths_allowed())
            own = own_corpus(studio)
            folded = []
            for part in form.folded_parts():
                with gr.Accordion(part, open=False, elem_classes="ir-more"):
                    fields = [field for field in form.folded_fields() if form.part_of(field.name) == part]
                    folded += [_folded(field, first) for field in fields]
            note = static(told("Looking at this machine …"), elem_id="ir-estimate")
            bring = static(elem_id="ir-bring")
            start = gr.Button("Start", variant="primary", elem_id="ir-start")
            message = static(elem_id="ir-message")
            snippets = gr.HTML(
                value="", html_template=_SNIPPETS, js_on_load="irtuning.snippets(element, props);", open="",
                command=text(command(first)), python=text(python(first)), elem_id="ir-snippets", apply_default_css=False,
            )
            waiting = waiting_list(studio)
        with gr.Column(elem_id="ir-watch", elem_classes="ir-panel", min_width=0):
            live = live_view(studio.store, stop=studio.launcher.stop, elem_id="live")
    controls = [chosen, *rows, *folded]
    page = TrainPage(live, chosen, note, controls, [*controls, *own.inputs], Starter(studio), studio, own)
    _wire_form(studio, page, controls, own, (note, bring, snippets))
    _wire_start(page, start, message)
    waiting.select(_chosen_run, None, live, **QUIET).then(None, live, None, js=SHOW_RUN)
    return page


def _wire_form(
    studio: Studio, page: TrainPage, controls: list[Any], own: OwnCorpus, places: tuple[gr.HTML, gr.HTML, gr.HTML]
) -> None:
    chosen, model, corpus, _, _, adapter, *folded = controls

    def refresh(*values: Any) -> tuple[Any, Any, Any]:
        try:
            config = page.request(values)
        except StudioError as error:
            return warning(error), "", gr.skip()
        return (
            page.estimate(values, studio.probe.known()),
            bring_note(config.model_name, page.starter.where(config.model_name)),
            gr.HTML(command=text(command(config)), python=text(python(config))),
        )

    def placeholders(model: str | None, corpus: str | None, *chosen: Any) -> list[Any]:
        return [_default_shown(field, model, corpus, value) for field, value in zip(form.folded_fields(), chosen, strict=True)]

    def named(name: str | None) -> list[Any]:
        """The part for a file of one's own, where that is chosen, or a file on this machine is named."""
        typed = studio.paths_allowed() and name not in catalogue.CORPORA and is_table(name or "")
        shown = own.shown(name or "", Columns()) if typed else [gr.skip()] * len(own.outputs)
        return [gr.Column(visible=typed or name == form.OWN_FILE), *shown]

    gr.on([c.change for c in [*controls[1:], *own.inputs]], refresh, page.inputs, list(places), **LATEST)
    gr.on([model.change, corpus.change], placeholders, [model, corpus, *folded], folded, **LATEST)
    model.change(
        None, model, chosen, js=f"(model) => {{ irtuning.model = model; return ({_by_model(form.preset_of)})[model] ?? ''; }}"
    )
    # A box also tells of an input when it is only left, and twice of a click: then nothing is returned, and the adapter stays.
    model.input(
        None, model, adapter,
        js=f"(model) => {{ const same = (irtuning.model ?? '{model.value}') === model; irtuning.model = model;"
        f" if (!same) return ({_by_model(form.default_adapter)})[model] ?? '{form.default_adapter(None)}'; }}",
    )
    corpus.change(named, corpus, [own.panel, *own.outputs], **LATEST)
    # In the browser alone: a click on Start right after one on a card must find the form filled.
    chosen.select(None, chosen, controls[1:], js=f"(preset) => ({_by_preset(page)})[preset]")


def _wire_start(page: TrainPage, start: gr.Button, message: gr.HTML) -> None:
    def begin(http: gr.Request, *values: Any) -> tuple[Any, str]:
        try:
            config = page.request(values)
            preset = form.preset_of(config.model_name)
            own = values[2] == form.OWN_FILE
            run, words = page.starter.start(config, preset, visitor=http.session_hash or "", own_corpus=own)
        except StudioError as error:
            return gr.skip(), warning(error)
        if words:
            gr.Info(f"{text(run)}: {text(words)}")
        return run, ""

    start.click(begin, page.inputs, [page.live, message], **QUIET).then(
        None, [page.live, message], None, js=SHOW_STARTED
    )


def _chosen_run(event: gr.EventData) -> str:
    return str(event._data.get("run") or "")


def _by_model(value: Any) -> str:
    return json.dumps({name: value(name) for name in catalogue.MODELS})


def _by_preset(page: TrainPage) -> str:
    """Each preset's values for all controls but the cards, as JSON."""
    return json.dumps({name: page.filled(RunConfig().with_preset(name))[1:] for name in catalogue.PRESETS})


def _rows(first: RunConfig, free: bool) -> list[gr.Dropdown]:
    """The short list of a run in words: model, corpus, method, metric, adapter."""
    usual = form.usual(first)
    metrics = form.metric_choices()
    static('<h3 class="ir-heading">This run</h3>')
    with gr.Column(elem_classes="ir-rows", min_width=0):
        return [
            _row("Model", form.model_choices(embedded_only=not free), first.model_name, own=free),
            _row("Corpus", form.corpus_choices(), first.dataset_name, own=free),
            _row("Method", form.method_choices(), usual["tuning_method"]),
            _row("Metric", metrics, usual["importance_metric_name"], fixed=len(metrics) == 1),
            _row("Adapter", form.adapter_choices(), form.default_adapter(first.model_name)),
        ]


def _row(
    label: str, choices: list[tuple[str, str]], value: str | None, *, own: bool = False, fixed: bool = False
) -> gr.Dropdown:
    look = {"value": value, "label": label, "elem_classes": "ir-row", "min_width": 0}
    if own:
        return gr.Dropdown(choices, allow_custom_value=True, **look)
    return choice(choices, interactive=not fixed, **look)


def _folded(field: form.Field, first: RunConfig) -> gr.Dropdown | gr.Textbox:
    usual = form.default_words(field.name, first.model_name, first.dataset_name)
    if field.choices:
        return choice(
            form.with_default(field, first.model_name, first.dataset_name), value="", label=field.label, info=field.info,
            elem_classes="ir-row ir-setting", min_width=0,
        )
    return gr.Textbox(
        label=field.label, info=field.info, placeholder=usual, lines=1, max_lines=1, elem_classes="ir-row ir-setting",
        min_width=0, html_attributes=gr.InputHTMLAttributes(autocomplete="off", spellcheck=False),
    )


def _default_shown(field: form.Field, model: str | None, corpus: str | None, chosen: Any) -> Any:
    """The update that shows a model's default on a corpus where nothing is set."""
    if field.choices:
        return gr.Dropdown(choices=form.with_default(field, model, corpus, str(chosen or "")))
    return gr.Textbox(placeholder=form.default_words(field.name, model, corpus))
