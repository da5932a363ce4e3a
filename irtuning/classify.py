"""Classifier: pairs -> probabilities, with an adapter that a run saved; AdapterShelf: adapters by name.

Imports no torch until the first pair comes, so that a page can name adapters at once. Knows nothing of pages.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from irtuning.catalogue import MODELS
from irtuning.errors import AdapterError, ConfigError, CorpusError

if TYPE_CHECKING:
    import numpy as np

    from irtuning.revisions.corpora import Columns
    from irtuning.runs.store import RunStore

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
LARGE_M = 1000.0
"""Millions of parameters from which a model classifies on a GPU where there is one."""
SHIPPED = "minilm-starter"
"""Name of the adapter that comes with the studio and is used where none is named."""


class Classifier:
    """An adapter on its base model, ready to tell why a text was revised.

    Args:
        adapter: folder that a run saved, or the name of one in checkpoints/.
        device: auto, cpu, cuda or mps.

    Attributes:
        notice: one sentence where it does not run on the weights it was trained beside, else empty.

    Raises:
        AdapterError: there is no such adapter, or its file is damaged.
        ModelError: its base model cannot be loaded.
    """

    def __init__(self, adapter: str | Path = SHIPPED, *, device: str = "auto") -> None:
        from irtuning.revisions.encoding import Encoding
        from irtuning.tuning.adapters import load_adapter
        from irtuning.tuning.card import read_origin
        from irtuning.tuning.device import choose_device
        from irtuning.tuning.models import load_model, load_tokenizer
        from irtuning.tuning.quantised import installed, words
        from irtuning.tuning.weights import find_weights

        folder = Path(adapter)
        if not folder.is_dir() and (CHECKPOINTS / folder.name).is_dir():
            folder = CHECKPOINTS / folder.name
        self.origin = read_origin(folder)
        self.labels = list(self.origin.labels)
        self._encoding = Encoding.from_dict(self.origin.encoding)
        # In the numbers it was trained in where the device computes in them, so that scores come out the same again.
        self._device = choose_device(device, "float32" if self.origin.dtype == "float32" else "auto")
        entry = MODELS.get(self.origin.model_name)
        weights = find_weights(
            _private_model_path(folder) or self.origin.model_name,
            use_instruction=entry is not None and self.origin.base_id == entry.instruct_id,
        )
        self._tokenizer = load_tokenizer(weights)
        # The weights it was trained beside, so that scores come out the same again; in full where they cannot be had.
        bits = self.origin.bits if installed() else ""
        self.notice = (
            f"The adapter was trained beside weights in {words(self.origin.bits)}; without bitsandbytes its base runs in full, "
            "and probabilities differ a little."
            if self.origin.bits and not bits
            else ""
        )
        base = load_model(
            weights,
            self._tokenizer,
            self.labels,
            dtype=self._device.torch_dtype,
            device=self._device.torch_device,
            seed=0,
            bits=bits,
        )
        self._model = load_adapter(base, folder)

    @property
    def device(self) -> str:
        """Where it computes: cpu, cuda or mps."""
        return self._device.device

    def classify(self, before: str, after: str) -> dict[str, Any]:
        """The intention of one revision.

        Returns:
            {"label", "probabilities" (label -> probability, in the order of the labels), "abstained"}, and "notice" where
            the pair was longer than the adapter reads and was cut around its change.

        Raises:
            RevisionError: nothing was revised, or a side is too long.
        """
        return self.classify_many([(before, after)])[0]

    def classify_many(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """As `classify`, for many pairs at once, in their order."""
        from irtuning.revisions.encoding import check_pair

        for before, after in pairs:
            check_pair(before, after)
        probabilities, cut = self.probabilities(pairs)
        answers = []
        for row, was_cut in zip(probabilities, cut, strict=True):
            answer: dict[str, Any] = {
                "label": self.labels[int(row.argmax())],
                "probabilities": {name: float(p) for name, p in zip(self.labels, row, strict=True)},
                "abstained": False,
            }
            if was_cut:
                answer["notice"] = (
                    f"The pair is longer than {self._encoding.max_length} tokens: it was cut around the change."
                )
            answers.append(answer)
        return answers

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> tuple[np.ndarray, list[bool]]:
        """Probabilities, shape (pairs, labels), and which pairs were cut; nothing is checked."""
        from irtuning.tuning.predicting import softmax

        logits, cut = self.logits(pairs)
        return softmax(logits), cut

    def logits(self, pairs: Sequence[tuple[str, str]]) -> tuple[np.ndarray, list[bool]]:
        """The network's logits, shape (pairs, labels), and which pairs were cut."""
        from irtuning.tuning.predicting import predict_logits
        from irtuning.tuning.tokens import tokenise

        rows, cut = tokenise(pairs, self._encoding, self._tokenizer)
        logits = predict_logits(
            self._model, rows, pad_token_id=self._tokenizer.pad_token_id, dtype=self._device.torch_dtype
        )
        return logits, cut

    def logits_without_layers(self, pairs: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        """The network's logits, shape (pairs, labels), and those with each layer's adapter off in turn, its head and all other
        layers on: shape (layers, pairs, labels). The classifier is the same afterwards, to the bit."""
        from irtuning.tuning.ablating import logits_without_layers
        from irtuning.tuning.tokens import tokenise

        rows, _ = tokenise(pairs, self._encoding, self._tokenizer)
        return logits_without_layers(
            self._model, rows, pad_token_id=self._tokenizer.pad_token_id, dtype=self._device.torch_dtype
        )


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


def _private_model_path(adapter: Path) -> str | None:
    """Path of the base model where the adapter's run was made from a local folder on this machine."""
    try:
        private = json.loads((adapter.resolve().parent / "private.json").read_bytes())
    except (OSError, ValueError):
        return None
    return private.get("model_path") if isinstance(private, dict) else None


def refuse_unnamed(before: str | None, after: str | None) -> tuple[str, str]:
    """Both sides of a pair.

    Raises:
        ConfigError: one side was not given at all; an empty one is an addition or a deletion.
    """
    if before is None or after is None:
        missing = "before" if before is None else "after"
        raise ConfigError(
            f"The text {missing} the revision is missing.", f"Give it with --{missing}; an empty one is --{missing} ''."
        )
    return before, after


def evaluate(classifier: Classifier, dataset_name: str, columns: Columns) -> dict[str, Any]:
    """Scores a classifier on a corpus.

    Returns:
        {"metrics", "confusion", "rows" (a sentence that says which rows were scored)}.

    Raises:
        CorpusError: the corpus cannot be read, or none of its labels is one of the classifier's.
    """
    from irtuning.revisions.corpora import load_test
    from irtuning.tuning.metrics import score

    revisions, which = load_test(dataset_name, columns, classifier.origin.corpus_fingerprint)
    known = [r for r in revisions if r.label in classifier.labels]
    if not known:
        raise CorpusError(
            "None of the corpus's labels is one that the adapter knows.",
            f"It knows {', '.join(classifier.labels)}.",
        )
    if len(known) < len(revisions):
        which += f" {len(revisions) - len(known)} rows have a label that the adapter does not know and were left out."
    probabilities, _ = classifier.probabilities([(r.before, r.after) for r in known])
    metrics, confusion = score([classifier.labels.index(r.label) for r in known], probabilities, classifier.labels)
    return {"metrics": metrics, "confusion": confusion, "rows": which}
