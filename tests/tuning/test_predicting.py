"""Predicting where the memory does not do for a batch: the same logits from smaller ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irtuning.tuning.predicting import predict_logits
from tests.conftest import tiny_model
from tests.tuning.test_trainer import Narrow, rows


def predicted(most: int | None) -> tuple[np.ndarray, int]:
    torch.manual_seed(0)
    model = tiny_model("llama")
    narrow = None
    if most:
        layer = model.model.layers[3]
        narrow = layer.mlp = Narrow(layer.mlp, most)
    logits = predict_logits(model, rows().rows, pad_token_id=0, dtype=torch.float32, longest=64)
    return logits, narrow.refused if narrow else 0


def test_a_batch_that_is_too_large_is_halved_and_gives_the_same():
    whole, _ = predicted(None)
    parts, refused = predicted(20)
    assert refused > 0
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_one_row_that_is_too_large_ends_it():
    with pytest.raises(RuntimeError, match="allocate"):
        predicted(3)
