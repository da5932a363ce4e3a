"""The Classify page: a pair of texts, the answer, then the evidence."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from irtuning import catalogue
from irtuning.errors import StudioError
from irtuning.revisions.corpora import label_meanings
from irtuning.shelf import is_large
from irtuning.ui.marks import marked
from irtuning.ui.parts import choice, note, static, warning
from irtuning.ui.run_list import title_of
from irtuning.ui.studio import QUIET, Studio
from irtuning.ui.words import label as intention
from irtuning.ui.words import score, text

log = logging.getLogger(__name__)

EXAMPLES = (
    ("A repair", "The results was published in the spring, but nobody have read them.",
     "The results were published in the spring, but nobody has read them."),
    ("A new claim", "Bees visit the orchard in April.",
     "Bees visit the orchard in April, and without them there would be no pears at all."),
    ("A shorter way", "It is important to note that the bridge was closed because of the fact that the river was rising.",
     "The bridge was closed because the river was rising."),
)
"""Three pairs to try: a name for the button, before, after."""
EMPTY = '<div class="ir-empty">The answer appears here: the intention, how sure it is, and the words that changed.</div>'
REVEAL = "() => irtuning.reveal('#ir-answer-panel')"
NO_ADAPTER = "No adapter is here yet: train a run first, then try it here."


@dataclass
class ClassifyPage:
    """What the shell needs of the page. adapter: the choice of adapters."""

    adapter: gr.Dropdown
    _studio: Studio

    def choices(self, wanted: str | None = "", *, tell: bool = False) -> Any:
        """The choice as it stands: the adapter wanted where it is there, else the first one (the newest run's); `tell`: say so."""
        shelf = self._studio.shelf.list()
        ids = [entry["id"] for entry in shelf]
        value = wanted if wanted in ids else next(iter(ids), None)
        if tell and wanted and value and value != wanted:
            gr.Warning(f"There is no adapter {text(wanted[:80])} here. Another one is chosen: {text(adapter_title(shelf[0]))}.")
        return gr.Dropdown(choices=[(adapter_title(entry), entry["id"]) for entry in shelf], value=value)

    def warm(self, adapter: str | None) -> None:
        """Loads the chosen adapter, so that the first answer comes at once; what is wrong with it is told when it is used."""
        models = {entry["id"]: entry["model"] for entry in self._studio.shelf.list()}
        # A large model is worth its minutes and its memory only once somebody asks it something.
        if adapter and not is_large(models.get(adapter, "")):
            try:
                self._studio.shelf.classify(*EXAMPLES[0][1:], adapter=adapter)
            except StudioError:
                log.info("the adapter %s could not be loaded ahead", adapter)


def adapter_title(entry: Mapping[str, Any]) -> str:
    """An adapter in one line: where it comes from, its model and corpus, its macro-F1 beside that of the bag of edits."""
    model = title_of(catalogue.MODELS, entry.get("model"))
    corpus = title_of(catalogue.CORPORA, entry.get("corpus")).partition(",")[0]
    words = f"{model} on {corpus}"
    if entry.get("macro_f1") is not None:
        words += f", macro-F1 {score(entry['macro_f1'])}"
        if entry.get("floor_macro_f1") is not None:
            words += f" (bag of edits {score(entry['floor_macro_f1'])})"
    name = "comes with the studio" if entry.get("shipped") else entry["id"]
    return f"{words} · {name}"


def classify_page(studio: Studio) -> ClassifyPage:
    """Builds the page inside the current gr.Blocks context."""
    with gr.Row(elem_id="ir-classify", elem_classes="ir-page"):
        with gr.Column(elem_id="ir-pair", elem_classes="ir-panel", min_width=0):
            adapter = choice([], label="Adapter", elem_id="ir-adapter", min_width=0)
            before = _side("Before", "The text as it was; empty for an addition", "ir-before")
            after = _side("After", "The text as it is now; empty for a deletion", "ir-after")
            go = gr.Button("Classify", variant="primary", elem_id="ir-classify-go")
            static('<p class="ir-quiet ir-small-text">Ctrl+Enter does the same. Or try one of these:</p>')
            with gr.Row(elem_id="ir-examples"):
                examples = [gr.Button(name, min_width=0, size="sm") for name, _, _ in EXAMPLES]
        with gr.Column(elem_classes="ir-panel", min_width=0, elem_id="ir-answer-panel"):
            answer = static(EMPTY, elem_id="ir-answer")

    def ask(name: str | None, old: str | None, new: str | None) -> str:
        if not name:
            return warning(NO_ADAPTER)
        try:
            return answer_markup(studio.shelf.classify(old or "", new or "", adapter=name), old or "", new or "")
        except StudioError as error:
            return warning(error)

    shown = {**QUIET, "show_progress": "minimal"}
    go.click(ask, [adapter, before, after], answer, **shown).then(None, None, None, js=REVEAL)
    for button, (_, old, new) in zip(examples, EXAMPLES, strict=True):
        button.click(lambda old=old, new=new: (old, new), None, [before, after], **QUIET).then(
            ask, [adapter, before, after], answer, **shown
        ).then(None, None, None, js=REVEAL)
    adapter.input(lambda name, old, new: ask(name, old, new) if old or new else gr.skip(), [adapter, before, after], answer, **shown)
    adapter.input(None, adapter, None, js="(adapter) => irtuning.keep('classify', adapter ? {adapter} : {})")
    return ClassifyPage(adapter, studio)


def _side(label: str, placeholder: str, elem_id: str) -> gr.Textbox:
    return gr.Textbox(label=label, lines=4, max_lines=12, placeholder=placeholder, elem_id=elem_id)


def answer_markup(answer: Mapping[str, Any], before: str, after: str) -> str:
    """An answer as markup: the intention and its probability, what it means, the others, then the marked text."""
    ranked = sorted(answer["probabilities"].items(), key=lambda pair: -pair[1])
    meanings = label_meanings(answer["probabilities"])
    label = answer["label"]
    unsure = '<p class="ir-quiet">It is not sure enough to commit itself.</p>' if answer.get("abstained") else ""
    notice = note(answer.get("notice", ""))
    others = "".join(
        f'<div class="ir-other"><span>{intention(name)}</span>'
        f'<span class="ir-bar ir-bar-thin"><i style="width:{100 * p:.1f}%"></i></span>'
        f'<span class="ir-figure">{percent(p)}</span></div>'
        for name, p in ranked
        if name != label
    )
    return (
        f'<div class="ir-answer" role="status"><p class="ir-intention"><strong>{intention(label)}</strong>'
        f'<span>{percent(answer["probabilities"][label])}</span></p>'
        f'<p class="ir-meaning">{text(meanings.get(label, ""))}</p>{unsure}{notice}</div>'
        f'<div class="ir-others"><h3 class="ir-heading">Other intentions</h3>{others}</div>'
        f'<div><h3 class="ir-heading">What changed</h3>{marked(before, after)}</div>'
    )


def percent(probability: float) -> str:
    """A probability in words: `72 %`, `< 1 %`."""
    return "< 1 %" if probability < 0.01 else f"{100 * min(probability, 0.99 if probability < 1 else 1):.0f} %"
