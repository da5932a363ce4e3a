"""Logits of a model for tokenised rows. The one way to predict, in training, in evaluation and in classifying."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from irtuning.errors import BREAKS
from irtuning.tuning.batches import Row, collate, evaluation_batches
from irtuning.tuning.device import give_back_memory, out_of_memory
from irtuning.tuning.passes import passes_on

ROWS_AT_ONCE = 32


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Computing in the frozen model's numbers while adapters and head are stored in float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


@torch.no_grad()
def predict_logits(
    model: nn.Module,
    rows: Sequence[Row],
    *,
    pad_token_id: int,
    dtype: torch.dtype,
    longest: int,
    most_tokens: int = 4096,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Logits in float32, shape (rows, labels), in the order of `rows`. A batch for which the memory does not do is halved.

    Args:
        longest: tokens that no row has more of.
        check: called before each batch; may raise to stop.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    lengths = [len(row["input_ids"]) for row in rows]
    grain = passes_on(device.type, dtype, longest).grain
    order: list[int] = []
    parts: list[torch.Tensor] = []
    try:
        waiting = deque(evaluation_batches(lengths, ROWS_AT_ONCE, most_tokens, grain))
        while waiting:
            check()
            batch = waiting.popleft()
            inputs = {
                key: value.to(device)
                for key, value in collate([rows[i] for i in batch], pad_token_id, grain).items()
                if key != "labels"
            }
            try:
                with autocast(device, dtype):
                    parts.append(model(**inputs).logits.float())
            except BREAKS as error:
                if not out_of_memory(error) or len(batch) < 2:
                    raise
                give_back_memory(device.type)
                middle = len(batch) // 2
                waiting.extendleft((batch[middle:], batch[:middle]))
                continue
            order += batch
    finally:
        model.train(was_training)
    logits = torch.cat(parts).cpu().numpy()
    back = np.empty_like(logits)
    back[order] = logits
    return back


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities in float64, shape as the logits."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    exponents = np.exp(shifted)
    return exponents / exponents.sum(axis=-1, keepdims=True)
