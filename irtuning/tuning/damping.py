"""The loss of one batch with some layers' adapters damped: what IST learns from. Leaves the model as it was."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from irtuning.errors import ModelError
from irtuning.tuning.ist import DAMPING
from irtuning.tuning.layers import Layer, adapter_modules
from irtuning.tuning.losses import Seen
from irtuning.tuning.ranks import mean_over_ranks


def refuse_undampable(model: nn.Module, layers: Sequence[Layer]) -> None:
    """Does nothing where each unit's adapter is of a kind whose share of the output can be scaled.

    Raises:
        ModelError: one is not: peft's IA3, OFT and others have no such factor, and some of them ignore it without an error.
    """
    for layer, modules in zip(layers, adapter_modules(model, layers), strict=True):
        if not modules or any(not isinstance(getattr(m, "scaling", None), dict) or not hasattr(m, "scale_layer") for m in modules):
            raise ModelError(
                f"IST tries units with their adapters scaled down, and what trains in {layer.name} cannot be.",
                "Use adapters such as LoRA, DoRA or the bottleneck, or choose ir, rst or lisa.",
            )


@torch.no_grad()
def losses_under_damping(
    model: nn.Module, layers: Sequence[Layer], sets: Sequence[Sequence[int]], batch: Sequence[Seen]
) -> list[float]:
    """The model's mean loss on a batch with the adapters of each set of units scaled by 0.25, one after the other.

    One transfer from the device for all sets together.

    Args:
        batch: its parts, on all processes together.
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
                losses = [model(**inputs).loss.float() * weight for inputs, weight in batch]
                found.append(torch.stack(losses).sum())
            finally:
                for module in chosen:
                    module.unscale_layer(DAMPING)
    finally:
        model.train(training)
    weights = torch.stack([weight.float() for _, weight in batch]).sum()
    *sums, whole = mean_over_ranks(torch.stack([*found, weights])).tolist()
    return [total / whole if whole else float("nan") for total in sums]
