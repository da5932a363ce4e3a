"""Tokenised rows, and batches of them: grouped by length, padded to their own longest row, capped in tokens.

Knows neither models nor labels' names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

Row = dict[str, Any]
"""input_ids, attention_mask, perhaps token_type_ids (lists of int, shape (tokens,)), and labels (int) where known."""


class Share(list):
    """What one process gets of a batch: indices of rows, or the rows themselves.

    Attributes:
        weight: what the mean loss of the share counts, so that the mean over all processes is that of the whole batch.
        whole: rows of the whole batch.
    """

    def __init__(self, items: Iterable[Any], weight: float, whole: int) -> None:
        super().__init__(items)
        self.weight, self.whole = weight, whole


class Rows(torch.utils.data.Dataset):
    """A list of tokenised rows; each is handed out with its index as `row`."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return {**self.rows[index], "row": index}

    def __getitems__(self, share: Share) -> Share:
        """The rows of a share, with its weight."""
        return Share((self[i] for i in share), share.weight, share.whole)

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


class Deal(torch.utils.data.Sampler[Share]):
    """Deals each batch of `length_order` to `ranks` processes and gives the share of one; another order each epoch.

    Rows are dealt in turns, so that all processes get rows of all lengths. A process for which nothing is left of a short
    last batch gets one of its rows, with weight 0: all must take part in every exchange of gradients.

    Args:
        lengths: tokens of each row. batch: rows of a whole share.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int, *, ranks: int = 1, rank: int = 0) -> None:
        self._lengths, self._batch, self._seed, self._epoch = lengths, batch * ranks, seed, 0
        self._ranks, self._rank = ranks, rank

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order comes next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._batch)

    def __iter__(self) -> Iterator[Share]:
        order = length_order(self._lengths, self._batch, self._seed, self._epoch)
        for start in range(0, len(order), self._batch):
            whole = order[start : start + self._batch]
            mine = whole[self._rank :: self._ranks]
            yield Share(mine or whole[:1], len(mine) * self._ranks / len(whole), len(whole))


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
