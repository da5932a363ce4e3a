"""Pairs -> token rows, through an encoding and a tokenizer. For training and for classifying alike.

Knows the encoding by its `render` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from irtuning.revisions.encoding import Encoding
from irtuning.tuning.batches import Row


def separates(tokenizer: Any) -> bool:
    """Whether a tokenizer puts a sign of its own between two texts, which tells an addition from a deletion."""
    return tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False)


def tokenise(pairs: Sequence[tuple[str, str]], encoding: Encoding, tokenizer: Any) -> tuple[list[Row], list[bool]]:
    """Token rows of (before, after) pairs, and which pairs had to be cut around their change.

    Raises:
        ConfigError: the encoding's longest input cannot hold a pair.
    """

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    single = tokenizer.num_special_tokens_to_add(pair=False)
    double = tokenizer.num_special_tokens_to_add(pair=True)
    rendered = [
        encoding.render(before, after, count, double if encoding.is_pair else single) for before, after in pairs
    ]
    rows: list[Row] = []
    if rendered:
        encoded = tokenizer(
            [r.text for r in rendered],
            [r.text_pair for r in rendered] if encoding.is_pair else None,
            truncation=True,
            max_length=encoding.max_length,
        )
        keys = [key for key in ("input_ids", "attention_mask", "token_type_ids") if key in encoded]
        rows = [{key: list(encoded[key][i]) for key in keys} for i in range(len(rendered))]
    return rows, [r.cut for r in rendered]
