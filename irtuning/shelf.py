"""AdapterShelf: adapters by name, one of them loaded, on the device that its size asks for.

Imports no torch until the first pair comes, so that a page can name adapters at once. Knows nothing of pages.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from irtuning.catalogue import MODELS
from irtuning.classify import CHECKPOINTS, SHIPPED, Classifier
from irtuning.errors import AdapterError

if TYPE_CHECKING:
    from irtuning.runs.store import RunStore

LARGE_M = 1000.0
"""Millions of parameters from which a model classifies on a GPU where there is one."""


class AdapterShelf:
    """Adapters by name: those in checkpoints/ and those of finished or stopped runs. Keeps one classifier loaded.

    Args:
        store: whose runs' adapters are on the shelf; None: the shipped ones alone.
        checkpoints: folder of the shipped ones.
    """

    def __init__(self, store: RunStore | None = None, *, checkpoints: Path = CHECKPOINTS) -> None:
        self._store, self._checkpoints = store, checkpoints
        self._lock = threading.Lock()
        self._loaded: tuple[str, float, Classifier] | None = None

    def list(self) -> list[dict[str, Any]]:
        """Adapters, own runs' newest first, then the shipped ones: id, title, model, corpus, macro_f1, floor_macro_f1,
        labels, shipped."""
        from irtuning.tuning.card import read_origin

        found = []
        for name, folder, shipped in self._folders():
            try:
                origin = read_origin(folder)
            except AdapterError:
                continue
            found.append(
                {
                    "id": name,
                    "title": f"{origin.model_name} on {origin.corpus}",
                    "model": origin.model_name,
                    "corpus": origin.corpus,
                    "macro_f1": (origin.metrics or {}).get("macro_f1"),
                    "floor_macro_f1": (origin.floor or {}).get("macro_f1"),
                    "labels": list(origin.labels),
                    "shipped": shipped,
                }
            )
        return found

    def folder(self, name: str) -> Path:
        """Folder of an adapter by name: empty for the shipped one, a folder in checkpoints/, or a run's id.

        Raises:
            AdapterError: no adapter has this name.
        """
        name = name or SHIPPED
        for known, folder, _ in self._folders():
            if known == name:
                return folder
        raise AdapterError(f"There is no adapter {name[:80]!r}.", "Choose one of the list, or train one first.")

    def classify(self, before: str, after: str, adapter: str = "") -> dict[str, Any]:
        """As `Classifier.classify`, with the adapter's name beside the answer.

        Raises:
            AdapterError: no adapter has this name. RevisionError: nothing was revised, or a side is too long.
        """
        from irtuning.revisions.encoding import check_pair

        check_pair(before, after)
        name = adapter or SHIPPED
        classifier = self.classifier(name)
        answer = classifier.classify(before, after)
        if classifier.notice:
            answer.setdefault("notice", classifier.notice)
        return {"label": answer.pop("label"), "probabilities": answer.pop("probabilities"), "adapter": name, **answer}

    def classifier(self, name: str) -> Classifier:
        """The classifier of an adapter; the last one used stays loaded: on the CPU, or where it is large on the fastest device.

        Raises:
            AdapterError: no adapter has this name, or its model is larger than the memory that is left.
        """
        from irtuning.tuning.card import read_origin

        folder = self.folder(name)
        model = read_origin(folder).model_name
        changed = (folder / "adapter_model.safetensors").stat().st_mtime if folder.is_dir() else 0.0
        with self._lock:
            if self._loaded is None or self._loaded[:2] != (name, changed):
                self._loaded = None
                _refuse_without_memory(model)
                self._loaded = (name, changed, Classifier(folder, device="auto" if is_large(model) else "cpu"))
            return self._loaded[2]

    def make_room(self) -> None:
        """Lets go of a classifier that holds a GPU's memory: a run is about to start there."""
        with self._lock:
            if self._loaded is not None and self._loaded[2].device != "cpu":
                from irtuning.tuning.device import give_back_memory

                place, self._loaded = self._loaded[2].device, None
                give_back_memory(place)

    def _folders(self) -> list[tuple[str, Path, bool]]:
        own: list[tuple[str, Path, bool]] = []
        if self._store is not None:
            for run in self._store.list():
                folder = self._store.path(run["run"]) / "adapter"
                if not run.get("recorded") and (folder / "irtuning.json").is_file():
                    own.append((run["run"], folder, False))
        shipped = [
            (folder.name, folder, True)
            for folder in sorted(self._checkpoints.glob("*"))
            if (folder / "irtuning.json").is_file()
        ]
        return own + shipped


def is_large(model_name: str) -> bool:
    """Whether a model of the catalogue is too slow on a CPU to be kept there; one that it does not know counts as small."""
    entry = MODELS.get(model_name)
    return entry is not None and entry.loaded_m >= LARGE_M


def _refuse_without_memory(model_name: str) -> None:
    """Spares the app a death by a model that cannot fit: its weights in bfloat16 against what this machine has left."""
    from irtuning.tuning.device import choose_device

    if not is_large(model_name) or choose_device().device != "cpu":
        return
    need, left = MODELS[model_name].loaded_m * 2e6 / 2**30, psutil.virtual_memory().available / 2**30
    if need > left:
        raise AdapterError(
            f"Its model takes {need:.0f} GiB, and {left:.0f} are left on this machine.", "Choose an adapter of a smaller one."
        )
