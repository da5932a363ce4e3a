"""Classifier: pairs -> probabilities, with an adapter that a run saved.

Imports no torch until the first pair comes, so that a page can name adapters at once. Knows nothing of pages.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irtuning.catalogue import MODELS
from irtuning.errors import BREAKS, ConfigError, CorpusError, ModelError
from irtuning.paths import existing

if TYPE_CHECKING:
    import numpy as np

    from irtuning.revisions.corpora import Columns
    from irtuning.tuning.batches import Row

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
SHIPPED = "minilm-starter"
"""Name of the adapter that comes with the studio and is used where none is named."""


class Classifier:
    """An adapter on its base model, ready to tell why a text was revised.

    Args:
        adapter: folder that a run saved, or the name of one in checkpoints/.
        device: auto, cpu, cuda or mps.
        base: its base model, where that is a local folder that no run of this machine remembers: an adapter holds no paths.

    Attributes:
        notice: one sentence where it does not run on the weights it was trained beside, else empty.

    Raises:
        AdapterError: there is no such adapter, or its file is damaged.
        ModelError: its base model cannot be loaded.
    """

    def __init__(self, adapter: str | Path = SHIPPED, *, device: str = "auto", base: str | Path | None = None) -> None:
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
        named = str(base) if base else _private_model_path(folder)
        if not named and entry is None and "/" not in self.origin.model_name and existing(self.origin.model_name) is None:
            raise ModelError(
                f"The adapter was trained on a local model, {self.origin.model_name!r}, and does not know where that lies.",
                "Name that folder: --base FOLDER on the command line, base= in Python.",
            )
        weights = find_weights(
            named or self.origin.model_name,
            use_instruction=entry is not None and self.origin.base_id == entry.instruct_id,
        )
        self._tokenizer = load_tokenizer(weights)
        # A tokenizer holds how far it cuts, which threads would change for each other.
        self._tokenizing = threading.Lock()
        # The weights it was trained beside, so that scores come out the same again; in full where they cannot be had.
        bits = self.origin.bits if installed() else ""
        self.notice = (
            f"The adapter was trained beside weights in {words(self.origin.bits)}; without bitsandbytes its base runs in full, "
            "and probabilities differ a little."
            if self.origin.bits and not bits
            else ""
        )
        with _in_memory():
            model = load_model(
                weights,
                self._tokenizer,
                self.labels,
                dtype=self._device.torch_dtype,
                device=self._device.torch_device,
                seed=0,
                bits=bits,
            )
            self._model = load_adapter(model, folder)

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
        if not pairs:
            return []
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

        rows, cut = self._tokenise(pairs)
        with _in_memory():
            logits = predict_logits(
                self._model,
                rows,
                pad_token_id=self._tokenizer.pad_token_id,
                dtype=self._device.torch_dtype,
                longest=self._encoding.max_length,
            )
        return logits, cut

    def logits_without_layers(self, pairs: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        """The network's logits, shape (pairs, labels), and those with each layer's adapter off in turn, its head and all other
        layers on: shape (layers, pairs, labels). The classifier is the same afterwards, to the bit."""
        from irtuning.tuning.ablating import logits_without_layers

        rows, _ = self._tokenise(pairs)
        with _in_memory():
            return logits_without_layers(
                self._model,
                rows,
                pad_token_id=self._tokenizer.pad_token_id,
                dtype=self._device.torch_dtype,
                longest=self._encoding.max_length,
            )

    def _tokenise(self, pairs: Sequence[tuple[str, str]]) -> tuple[list[Row], list[bool]]:
        from irtuning.tuning.tokens import tokenise

        with self._tokenizing:
            return tokenise(pairs, self._encoding, self._tokenizer)


@contextmanager
def _in_memory() -> Iterator[None]:
    """Raises memory that runs out in here as a sentence.

    Raises:
        ModelError: it ran out.
    """
    from irtuning.tuning.device import out_of_memory

    try:
        yield
    except BREAKS as error:
        if not out_of_memory(error):
            raise
        raise ModelError(
            "The memory ran out.", "End what else uses it, such as a run that trains, or choose an adapter of a smaller model."
        ) from error


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
    from irtuning.revisions.corpora import Columns, load_test
    from irtuning.tuning.metrics import score

    origin = classifier.origin
    revisions, which = load_test(dataset_name, columns, origin.corpus_fingerprint, Columns(**origin.columns), origin.corpus)
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
