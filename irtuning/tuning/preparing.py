"""Everything that stands before the first step: device, weights, tokenizer, model with adapters, corpus as tokens.

Knows no training loop and no run folders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import set_seed

from irtuning.config import RunConfig
from irtuning.errors import ConfigError
from irtuning.events import Notice, Phase
from irtuning.revisions.corpora import Columns, Corpus
from irtuning.revisions.encoding import Encoding, make_encoding
from irtuning.tuning import adapters
from irtuning.tuning.batches import Row
from irtuning.tuning.device import Device, choose_device
from irtuning.tuning.models import is_decoder, load_config, load_model, load_tokenizer, longest_input
from irtuning.tuning.passes import Passes, passes_on
from irtuning.tuning.predicting import predict_logits, softmax
from irtuning.tuning.quantised import bits_of, refuse_missing, words
from irtuning.tuning.tokens import separates, tokenise
from irtuning.tuning.weights import Weights, find_weights

ON_A_CPU = "On a CPU a model in {} trains more slowly than in full, and saves memory only where it is large."


@dataclass
class Prepared:
    """A model, its corpus as tokens, and what is needed to predict and save."""

    model: Any
    tokenizer: Any
    encoding: Encoding
    device: Device
    weights: Weights
    corpus: Corpus
    rows: dict[str, list[Row]]

    @property
    def passes(self) -> Passes:
        """What passes over its rows cost."""
        return passes_on(self.device.device, self.device.torch_dtype, self.encoding.max_length)

    def truth(self, part: str) -> list[int]:
        """True label indices of a part."""
        return [row["labels"] for row in self.rows[part]]

    def probabilities(self, part: str, check: Callable[[], None]) -> np.ndarray:
        """Probabilities of a part, shape (rows, labels)."""
        logits = predict_logits(
            self.model,
            self.rows[part],
            pad_token_id=self.tokenizer.pad_token_id,
            dtype=self.device.torch_dtype,
            longest=self.encoding.max_length,
            check=check,
        )
        return softmax(logits)


def columns_of(config: RunConfig) -> Columns:
    """The columns a config names."""
    return Columns(config.before_column, config.after_column, config.label_column, config.doc_column)


def prepare(config: RunConfig, corpus: Corpus, emit: Callable[[Any], None], check: Callable[[], None]) -> Prepared:
    """Loads what a resolved config names and turns the corpus into tokens.

    Raises:
        StudioError: something about model, device or lengths is wrong.
    """
    refuse_missing(bits_of(config))
    device = choose_device(config.device or "auto", config.dtype or "auto")
    weights = find_weights(config.model_name or "", use_instruction=bool(config.use_instruction))
    if bits_of(config) and device.device == "cpu":
        emit(Notice(level="info", text=ON_A_CPU.format(words(bits_of(config)))))
    check()
    set_seed(config.seed or 0)
    tokenizer = load_tokenizer(weights)
    model = load_model(
        weights,
        tokenizer,
        list(corpus.labels),
        dtype=device.torch_dtype,
        device=device.torch_device,
        seed=config.seed or 0,
        bits=bits_of(config),
    )
    check()
    longest = longest_input(model)
    if longest is not None and config.max_length > longest:
        raise ConfigError(
            f"This model reads {longest} tokens at most.", f"Set the maximum length to {longest} or less."
        )
    model = adapters.add_adapter(model, config)
    emit(Phase(name="encoding"))
    encoding = make_encoding(
        use_instruction=bool(config.use_instruction),
        is_decoder=is_decoder(load_config(weights)),
        labels=corpus.labels,
        max_length=config.max_length,
        kind=None if config.use_instruction else config.encoding,
        instruction=config.instruction,
        separates=separates(tokenizer),
    )
    rows: dict[str, list[Row]] = {}
    cut = 0
    for part in ("train", "validation", "test"):
        revisions = corpus.part(part)
        rows[part], was_cut = tokenise([(r.before, r.after) for r in revisions], encoding, tokenizer)
        cut += sum(was_cut)
        for row, revision in zip(rows[part], revisions, strict=True):
            row["labels"] = corpus.labels.index(revision.label)
        check()
    if cut:
        emit(
            Notice(
                level="info",
                text=f"{cut} pair{'s are' if cut > 1 else ' is'} longer than {config.max_length} tokens and cut around the change.",
            )
        )
    return Prepared(model, tokenizer, encoding, device, weights, corpus, rows)
