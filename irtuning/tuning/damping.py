"""The loss of one batch with some layers' adapters damped: what IST learns from. Leaves the model as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from irtuning.tuning.ist import DAMPING
from irtuning.tuning.layers import Layer, adapter_modules
from irtuning.tuning.ranks import mean_over_ranks


@torch.no_grad()
def losses_under_damping(
    model: nn.Module, layers: Sequence[Layer], sets: Sequence[Sequence[int]], inputs: dict[str, Any]
) -> list[float]:
    """The model's loss on `inputs` with the adapters of each set of units scaled by 0.25, one after the other.

    Over several processes it is the mean of their losses. One transfer from the device for all sets together.
    """
    modules = adapter_modules(model, layers)
    training = model.training
    model.eval()
    found = []
    try:
        for units in sets:
            chosen = [module for unit in units for module in modules[unit]]
            for module in chosen:
                module.scale_layer(DAMPING)
            try:
                found.append(model(**inputs).loss.detach().float())
            finally:
                for module in chosen:
                    module.unscale_layer(DAMPING)
    finally:
        model.train(training)
    return mean_over_ranks(torch.stack(found)).tolist()
