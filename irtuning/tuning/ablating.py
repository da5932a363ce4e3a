"""Logits of a model with each layer's adapter switched off in turn. Leaves the model as it was, to the bit.

Knows neither texts nor labels. Adapters are switched off by peft's own switch: with DoRA a scaling of 0 would not do, since its
magnitudes would stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from irtuning.errors import AdapterError
from irtuning.tuning.batches import Row
from irtuning.tuning.layers import layer_adapters
from irtuning.tuning.predicting import predict_logits


@contextmanager
def switched_off(modules: Sequence[BaseTunerLayer]) -> Iterator[None]:
    """Inside, these modules compute as if they had no adapter; those that were off before stay off after it."""
    modules = [module for module in modules if not module.disable_adapters]
    # peft's switch also freezes and thaws what it switches.
    trained = [(p, p.requires_grad) for module in modules for p in module.parameters()]
    try:
        for module in modules:
            module.enable_adapters(False)
        yield
    finally:
        for module in modules:
            module.enable_adapters(True)
        for parameter, flag in trained:
            parameter.requires_grad_(flag)


def logits_without_layers(
    model: nn.Module,
    rows: Sequence[Row],
    *,
    pad_token_id: int,
    dtype: torch.dtype,
    longest: int,
    check: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits with everything on, shape (rows, labels), and with each layer's adapter off, shape (layers, rows, labels); float32.

    Args:
        longest: tokens that no row has more of.
        check: called before each batch; may raise to stop.

    Raises:
        AdapterError: no layer of the model has an adapter.
    """
    layers = layer_adapters(model)
    if not any(layers):
        raise AdapterError("No layer of this model has an adapter.", "Choose an adapter that a run has saved.")

    def predict() -> np.ndarray:
        return predict_logits(model, rows, pad_token_id=pad_token_id, dtype=dtype, longest=longest, check=check)

    whole = predict()
    without = np.empty((len(layers), *whole.shape), dtype=whole.dtype)
    for index, modules in enumerate(layers):
        if modules:
            with switched_off(modules):
                without[index] = predict()
        else:
            without[index] = whole
    return whole, without
