"""Tokenised rows, and batches of them: drawn at random, computed in parts of similar length that are capped in tokens.

Knows neither models nor labels' names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Grain:
    """Sizes that passes come in, where one of a size not met before takes longer.

    Attributes:
        rows: a pass has a multiple of it, unless fewer are left or fit. tokens: rows are padded to a multiple of it.
        longest: but not beyond this.
    """

    rows: int = 1
    tokens: int = 1
    longest: int = 2**31

    def width(self, length: int) -> int:
        """What rows are padded to whose longest has so many tokens."""
        return min(-(-length // self.tokens) * self.tokens, max(length, self.longest))

    def within(self, rows: int) -> int:
        """How many of so many rows make a pass."""
        return rows // self.rows * self.rows or rows


ANY = Grain()


def collate(rows: Sequence[Row], pad_token_id: int, grain: Grain = ANY) -> dict[str, torch.Tensor]:
    """One batch, right-padded to its longest row or the grain: input_ids, attention_mask (rows, tokens), labels (rows,)."""
    width = grain.width(max(len(row["input_ids"]) for row in rows))
    fill = {"input_ids": pad_token_id, "attention_mask": 0, "token_type_ids": 0}
    batch = {
        key: torch.tensor([row[key] + [fill[key]] * (width - len(row[key])) for row in rows])
        for key in fill
        if key in rows[0]
    }
    if "labels" in rows[0]:
        batch["labels"] = torch.tensor([row["labels"] for row in rows])
    return batch


def shuffled(rows: int, seed: int, epoch: int) -> list[int]:
    """Places of so many rows in random order. The same seed and epoch give the same one."""
    random = torch.Generator().manual_seed(seed * 100_003 + epoch)
    return torch.randperm(rows, generator=random).tolist()


class Deal(torch.utils.data.Sampler[Share]):
    """Deals batches of rows in random order to `ranks` processes and gives the share of one; another order each epoch.

    Rows of a batch are dealt by length in turns, so that all processes get as much to do. A process for which nothing is left of a short
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
        order = shuffled(len(self._lengths), self._seed, self._epoch)
        for start in range(0, len(order), self._batch):
            whole = sorted(order[start : start + self._batch], key=lambda i: self._lengths[i])
            mine = whole[self._rank :: self._ranks]
            yield Share(mine or whole[:1], len(mine) * self._ranks / len(whole), len(whole))


def micro_batches(lengths: Sequence[int], most_tokens: int, price: int, grain: Grain = ANY) -> list[list[int]]:
    """Cuts a batch into the parts that cost least together, rows of similar length in each.

    A part costs its rows times what its longest is padded to, and the price of a pass.

    Args:
        lengths: tokens of each row.
        most_tokens: a part holds no more, padding included; one row always fits.
        price: of one pass, in tokens that could be computed meanwhile; however high, there are no more parts than must be.
        grain: sizes the parts come in.

    Returns:
        Positions in the batch, longest rows first; every position once.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    # Backwards: what the rows from a place on cost at least, and where the first part of them ends.
    costs, ends = [0] * (len(order) + 1), [0] * len(order)
    for start in reversed(range(len(order))):
        width = grain.width(lengths[order[start]])
        furthest = min(len(order), start + max(1, most_tokens // width))
        possible = {*range(start + grain.rows, furthest + 1, grain.rows)} or {furthest}
        if furthest == len(order):
            possible.add(furthest)
        costs[start], ends[start] = min(((end - start) * width + price + costs[end], -end) for end in possible)
        ends[start] *= -1
    parts, start = [], 0
    while start < len(order):
        parts.append(order[start : ends[start]])
        start = ends[start]
    return parts


def evaluation_batches(lengths: Sequence[int], rows: int, most_tokens: int, grain: Grain = ANY) -> list[list[int]]:
    """Positions of all rows, longest first, in batches of at most `rows` rows and `most_tokens` padded tokens (one row always fits)."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    parts: list[list[int]] = []
    while order:
        count = grain.within(min(rows, max(1, most_tokens // grain.width(lengths[order[0]]))))
        parts.append(order[:count])
        del order[:count]
    return parts
