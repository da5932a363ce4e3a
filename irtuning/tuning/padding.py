"""Leaves padding out of what the adapters' layers compute, for models that prove not to look at it.

Batches are drawn at random, so that as many places hold padding as tokens; the matrix products there are for nothing. Most models
mask padding, but some mix it in: what they give for two rows, with and without, decides. Knows no training loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from irtuning.tuning.batches import Row, collate
from irtuning.tuning.fused import FusedLora, Places
from irtuning.tuning.predicting import autocast

TOLERANCE = {torch.float32: 1e-3}
COARSE = 0.03
"""How far logits may lie apart, as a share of the largest: what products of other shapes round otherwise."""


class Padding:
    """Of one model.

    Args:
        rows: tokenised rows, to try it on two of them.
        dtype: what the model computes in.
    """

    def __init__(self, model: nn.Module, rows: Sequence[Row], pad_token_id: int, dtype: torch.dtype) -> None:
        found = next((module.places for module in model.modules() if isinstance(module, FusedLora)), None)
        self._places = found or Places()
        self._device = next(model.parameters()).device
        self.is_left_out = found is not None and self._is_left_out_unseen(model, rows, pad_token_id, dtype)

    @contextmanager
    def left_out(self, lengths: Sequence[int]) -> Iterator[None]:
        """While it stands, passes over rows so long, padded on the right to the longest and no wider, compute no padding."""
        width = max(lengths)
        if not self.is_left_out or width * len(lengths) == sum(lengths):
            yield
            return
        with self._told(lengths, width):
            yield

    @contextmanager
    def _told(self, lengths: Sequence[int], width: int) -> Iterator[None]:
        filled = torch.arange(width) < torch.tensor(lengths)[:, None]
        self._places.shape = filled.shape
        self._places.tokens = filled.flatten().nonzero()[:, 0].to(self._device, non_blocking=True)
        try:
            yield
        finally:
            self._places.shape = self._places.tokens = None

    @torch.no_grad()
    def _is_left_out_unseen(self, model: nn.Module, rows: Sequence[Row], pad_token_id: int, dtype: torch.dtype) -> bool:
        by_length = sorted(rows, key=lambda row: len(row["input_ids"]))
        short = by_length[0]
        longer = next((row for row in by_length if len(row["input_ids"]) > len(short["input_ids"]) + 2), None)
        if longer is None:
            return False
        lengths = [len(short["input_ids"]), len(longer["input_ids"])]
        inputs = {key: value.to(self._device) for key, value in collate([short, longer], pad_token_id).items() if key != "labels"}
        was_training = model.training
        model.eval()
        try:
            with autocast(self._device, dtype):
                whole = model(**inputs).logits.float()
                with self._told(lengths, max(lengths)):
                    without = model(**inputs).logits.float()
        finally:
            model.train(was_training)
        apart = (whole - without).abs().max() / whole.abs().max().clamp(min=1e-6)
        # A model with its places first would be misread in a batch of as many rows as places.
        return self._places.used and bool(apart < TOLERANCE.get(dtype, COARSE))
