"""Logits of a model for tokenised rows. The one way to predict, in training, in evaluation and in classifying."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from irtuning.tuning.batches import Row, collate, evaluation_batches

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
    most_tokens: int = 4096,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Logits in float32, shape (rows, labels), in the order of `rows`.

    Args:
        check: called before each batch; may raise to stop.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    order: list[int] = []
    parts: list[torch.Tensor] = []
    try:
        for batch in evaluation_batches([len(row["input_ids"]) for row in rows], ROWS_AT_ONCE, most_tokens):
            check()
            inputs = {
                key: value.to(device)
                for key, value in collate([rows[i] for i in batch], pad_token_id).items()
                if key != "labels"
            }
            with autocast(device, dtype):
                parts.append(model(**inputs).logits.float())
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
