"""The part of the Train page for a corpus of one's own: a file, its preview, and which column is what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from irtuning.errors import CorpusError, StudioError
from irtuning.paths import existing
from irtuning.revisions.corpora import Columns, guess_columns, load_corpus, read_table
from irtuning.ui.corpus import LARGEST_READ_BYTES, SUFFIXES, columns_for_config, forget_unused, keep, preview, summary
from irtuning.ui.limits import refuse_large
from irtuning.ui.parts import choice, note, static, warning
from irtuning.ui.studio import QUIET, Studio
from irtuning.ui.words import text

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "starter" / "sample.csv"
_ROLES = (("before", "Text before"), ("after", "Text after"), ("label", "Intention"), ("doc", "Document"))


@dataclass
class OwnCorpus:
    """The part's components.

    Attributes:
        panel: everything, shown only while it is chosen. inputs: where the kept file is, and the four columns.
        outputs: what `shown` gives values for.
    """

    panel: gr.Column
    inputs: list[Any]
    outputs: list[Any]

    @staticmethod
    def shows(name: str | None, path: str | None, *columns: str | None) -> bool:
        """Whether the file that the part shows is the one of this name."""
        return bool(path and name) and existing(name) == Path(path)

    def shown(self, name: str, columns: Columns) -> list[Any]:
        """Values that show a file, with these columns chosen and the others guessed; or what is wrong with it."""
        return _shown(existing(name) or Path(name), columns)

    def choice(self, path: str | None, *columns: str | None) -> tuple[str, dict[str, str | None]]:
        """(the file, RunConfig's column fields) that the values of `inputs` stand for.

        Raises:
            CorpusError: no file was chosen yet, or a needed column is not named.
        """
        return checked(path, named(*columns))


def named(before: str | None, after: str | None, label: str | None, doc: str | None) -> Columns:
    """The columns that the four choices name; "none" for the document is said, and not guessed again."""
    return Columns(before or None, after or None, label or None, doc or "")


def checked(path: str | None, columns: Columns) -> tuple[str, dict[str, str | None]]:
    """As `OwnCorpus.choice`."""
    if not path:
        raise CorpusError("No file was chosen yet.", "Choose one, or take a corpus from the list.")
    if _unread(Path(path)):
        return path, columns_for_config(replace(columns, doc=columns.doc or None))
    missing = [words for key, words in _ROLES[:3] if not getattr(columns, key)]
    if missing:
        raise CorpusError(f"It is not said which column is the {missing[0].lower()}.", "Choose it below the preview.")
    return path, columns_for_config(columns)


def own_corpus(studio: Studio) -> OwnCorpus:
    """Builds the part inside the current gr.Blocks context, hidden at first."""
    kept = gr.State(None)
    with gr.Column(visible=False, elem_id="ir-own", min_width=0) as panel:
        with gr.Row(elem_classes="ir-two-buttons"):
            upload = gr.UploadButton(
                "Choose a file", file_types=list(SUFFIXES), file_count="single", elem_id="ir-upload", min_width=0
            )
            if SAMPLE.is_file():
                gr.DownloadButton("Sample file", value=str(SAMPLE), elem_id="ir-sample", min_width=0)
        seen = static(_hint(), elem_id="ir-own-preview")
        with gr.Column(visible=False, elem_classes="ir-rows", min_width=0) as naming:
            columns = [
                choice([], label=words, elem_classes="ir-row", min_width=0)
                for _, words in _ROLES
            ]
        told = static(elem_id="ir-own-summary")

    def take(upload_path: str | None) -> list[Any]:
        if not upload_path:
            return [gr.skip()] * 8
        try:
            if not studio.paths_allowed() and Path(upload_path).stat().st_size > LARGEST_READ_BYTES:
                refuse_large(None)
            path = keep(Path(upload_path), studio.store.home)
            forget_unused(studio.store.home, studio.store.corpora())
        except (StudioError, OSError) as error:
            return _nothing(error)
        return _shown(path, Columns())

    outputs = [kept, seen, naming, *columns, told]
    upload.upload(take, upload, outputs, **QUIET)
    gr.on(
        [column.input for column in columns], lambda path, *names: describe(path, named(*names)),
        [kept, *columns], told, trigger_mode="always_last", **QUIET,
    )
    return OwnCorpus(panel, [kept, *columns], outputs)


def _shown(path: Path, wanted: Columns) -> list[Any]:
    if _unread(path):
        said = f"{path.name} is too large to be looked at here. Its columns must have the usual names: before, after, label, doc_id."
        given = {key: getattr(wanted, key) or "" for key, _ in _ROLES}
        boxes = [_choice(key, [name] if name else [], name) for key, name in given.items()]
        return [str(path), note(said), gr.Column(visible=any(given.values())), *boxes, ""]
    try:
        names, rows = read_table(path)
    except StudioError as error:
        return _nothing(error)
    usual = guess_columns(names)
    found = Columns(**{key: getattr(usual if getattr(wanted, key) is None else wanted, key) for key, _ in _ROLES})
    given = [_choice(key, names, getattr(found, key)) for key, _ in _ROLES]
    shown = f'<p class="ir-small-text"><strong>{text(path.name)}</strong></p>{preview(names, rows)}'
    return [str(path), shown, gr.Column(visible=True), *given, describe(str(path), found)]


def _unread(path: Path) -> bool:
    """Whether a file is so large that only training reads it."""
    return path.is_file() and path.stat().st_size > LARGEST_READ_BYTES


def _nothing(error: Exception) -> list[Any]:
    return [None, warning(error), gr.Column(visible=False), *[gr.Dropdown(choices=[], value=None)] * 4, ""]


def _choice(role: str, columns: list[str], guess: str | None) -> gr.Dropdown:
    """The update of a column's choice; the document alone may be none."""
    choices = [(name, name) for name in columns]
    if role == "doc":
        return gr.Dropdown(choices=[("none", ""), *choices], value=guess or "")
    return gr.Dropdown(choices=choices, value=guess)


def describe(path: str | None, columns: Columns) -> str:
    """What a run on the file would train and test on, as markup; or what is wrong with it."""
    try:
        checked(path, columns)
        return summary(load_corpus(str(path), columns))
    except StudioError as error:
        return warning(error)


def _hint() -> str:
    return (
        '<p class="ir-quiet ir-small-text">.csv, .tsv or .jsonl; one revision a row: the text before, the text after, '
        "its intention, and the document it comes from where you know it.</p>"
    )
