"""Importance of layers from gradients and from weights: tensors -> one score a layer. Cosine importance is in `hidden.py`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers.pytorch_utils import Conv1D

from irtuning.errors import ModelError
from irtuning.tuning.policies import UNMEASURED
from irtuning.tuning.projections import in_adapter, is_attention_input
from irtuning.tuning.quantised import full_weight


def gradient_norms(parameters: Sequence[nn.Parameter]) -> torch.Tensor:
    """L2 norms of the parameters' gradients, -1 where there is none; on the device, float32, shape (parameters,)."""
    absent = torch.full((), -1.0, device=parameters[0].device)
    gradients = [p.grad for p in parameters if p.grad is not None]
    measured = iter(torch._foreach_norm(gradients) if gradients else ())
    # Stacked and not written by index: an index would have to reach the device, and the host would wait for it.
    return torch.stack([absent if p.grad is None else next(measured).type(absent.dtype) for p in parameters])


def layer_scores(norms: np.ndarray, owners: Sequence[int], layers: int) -> list[float | None]:
    """s_l = sqrt(sum over the layer's tensors of sqrt(norm)); None for a layer without a gradient in this step.

    Not an L2 norm: the reference sums square roots of norms and takes the root of that.

    Args:
        norms: one a tensor, shape (tensors,); negative: no gradient; not finite counts as 1000.
        owners: the layer of each tensor, from 0.
        layers: how many there are.
    """
    values = np.asarray(norms, dtype=np.float64)
    measured = ~(values < 0)
    values = np.where(np.isfinite(values), values, UNMEASURED)
    owner = np.asarray(owners, dtype=int)
    sums = np.bincount(owner[measured], weights=np.sqrt(values[measured]), minlength=layers)
    there = np.bincount(owner[measured], minlength=layers) > 0
    return [float(np.sqrt(s)) if seen else None for s, seen in zip(sums, there, strict=True)]


def weight_scores(layers: Sequence[nn.Module]) -> list[float]:
    """L2 norm of each layer's attention output projection; static. One transfer from the device.

    Raises:
        ModelError: a layer has none that could be told from its other projections.
    """
    projections = [output_projection(layer) for layer in layers]
    return torch.stack([weight.detach().float().norm() for weight in projections]).tolist()


def output_projection(layer: nn.Module) -> torch.Tensor:
    """The weight, in full, of the linear module in a layer's attention that is neither query, key, value nor another input to it.

    Raises:
        ModelError: there is none.
    """
    found: list[tuple[int, nn.Module]] = []
    for name, module in layer.named_modules():
        parts = name.split(".")
        if "base_layer" in parts or in_adapter(name):
            continue
        base = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
        depth = next((i for i, part in enumerate(parts) if "attn" in part or "attention" in part), None)
        inward = is_attention_input(name) or parts[-1].startswith("in_proj")
        if depth is not None and isinstance(base, nn.Linear | Conv1D) and not inward:
            found.append((depth, base))
    if not found:
        raise ModelError(
            "No output projection was found in the attention of this model.", "Choose gradient or cosine importance."
        )
    # A family may prepare attention in other places of the layer, deeper down; its own part names the output last.
    nearest = min(depth for depth, _ in found)
    return full_weight([base for depth, base in found if depth == nearest][-1])


def clip_gradients(parameters: Sequence[nn.Parameter], most: float) -> None:
    """Scales all gradients so that their common L2 norm is at most `most`, without a move or a synchronisation.

    torch's own function moves each norm to a device and back, one call a tensor; on one device that is not needed.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients:
        total = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, torch.clamp(most / (total + 1e-6), max=1.0))
