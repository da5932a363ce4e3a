"""Tokenised rows, and batches of them: grouped by length, padded to their own longest row, capped in tokens.

Knows neither models nor labels' names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

Row = dict[str, Any]
"""input_ids, attention_mask, perhaps token_type_ids (lists of int, shape (tokens,)), and labels (int) where known."""


class Rows(torch.utils.data.Dataset):
    """A list of tokenised rows."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(row["input_ids"]) for row in self.rows]


def collate(rows: Sequence[Row], pad_token_id: int) -> dict[str, torch.Tensor]:
    """One batch, right-padded to its longest row: input_ids, attention_mask (rows, tokens), labels (rows,)."""
    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": pad_token_id, "attention_mask": 0, "token_type_ids": 0}
    batch = {
        key: torch.tensor([row[key] + [fill[key]] * (width - len(row[key])) for row in rows])
        for key in fill
        if key in rows[0]
    }
    if "labels" in rows[0]:
        batch["labels"] = torch.tensor([row["labels"] for row in rows])
    return batch


def length_order(lengths: Sequence[int], batch: int, seed: int, epoch: int) -> list[int]:
    """A random order of rows in which each batch holds rows of similar length.

    Rows are shuffled, cut into pools of 16 batches, each pool sorted by length and cut into batches, and the batches
    shuffled. The same seed and epoch give the same order.
    """
    random = torch.Generator().manual_seed(seed * 100_003 + epoch)
    order = torch.randperm(len(lengths), generator=random).tolist()
    pool = batch * 16
    batches: list[list[int]] = []
    for start in range(0, len(order), pool):
        part = sorted(order[start : start + pool], key=lambda i: lengths[i])
        batches += [part[i : i + batch] for i in range(0, len(part), batch)]
    # A short last batch stays last: the Trainer cuts the order into batches by counting.
    whole = [b for b in batches if len(b) == batch]
    short = [i for b in batches if len(b) < batch for i in b]
    shuffled = [whole[i] for i in torch.randperm(len(whole), generator=random).tolist()]
    return [i for b in shuffled for i in b] + short


class LengthSampler(torch.utils.data.Sampler[int]):
    """Gives `length_order`, another one each epoch."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self._lengths, self._batch, self._seed, self._epoch = lengths, batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order comes next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(length_order(self._lengths, self._batch, self._seed, self._epoch))


def micro_batches(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Cuts a batch so that no part, padded to its longest row, holds more than `most_tokens` (one row always fits).

    Args:
        lengths: tokens of each row.

    Returns:
        Positions in the batch, longest rows first; every position once.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    parts: list[list[int]] = []
    for i in order:
        if parts and lengths[parts[-1][0]] * (len(parts[-1]) + 1) <= most_tokens:
            parts[-1].append(i)
        else:
            parts.append([i])
    return parts


def evaluation_batches(lengths: Sequence[int], rows: int, most_tokens: int) -> list[list[int]]:
    """Positions of all rows by length, in batches of at most `rows` rows and `most_tokens` padded tokens."""
    return [part[i : i + rows] for part in micro_batches(lengths, most_tokens) for i in range(0, len(part), rows)]
