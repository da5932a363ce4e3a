"""Finds the layers of any transformer by structure, their adapter parameters, and freezes or thaws them.

Knows no model family by name: the layers are the module list that is as long as the config says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from irtuning.errors import ModelError


@dataclass(frozen=True)
class Layer:
    """One layer and the adapter parameters in it.

    Attributes:
        index: from 0, input first. name: path in the model. parameters: (path below the layer, parameter) of its adapters.
    """

    index: int
    name: str
    parameters: tuple[tuple[str, nn.Parameter], ...]


def layer_modules(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Path and module list of the model's transformer layers.

    Raises:
        ModelError: no module list is as long as the config's number of layers.
    """
    config = model.config
    count = next(
        (
            getattr(config, key)
            for key in ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
            if hasattr(config, key)
        ),
        None,
    )
    candidates = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) == count
        and all(any(True for _ in child.parameters()) for child in module)
    ]
    if not candidates:
        raise ModelError(
            "No stack of layers was found in this model.",
            "Choose a transformer whose config gives its number of layers.",
        )
    return max(candidates, key=lambda pair: sum(p.numel() for p in pair[1].parameters()))


def find_layers(model: nn.Module) -> list[Layer]:
    """The model's layers with those of their parameters that are trainable now, i.e. their adapters.

    Raises:
        ModelError: there are no layers, or none has anything to train.
    """
    name, modules = layer_modules(model)
    layers = [
        Layer(i, f"{name}.{i}", tuple((path, p) for path, p in module.named_parameters() if p.requires_grad))
        for i, module in enumerate(modules)
    ]
    if not any(layer.parameters for layer in layers):
        raise ModelError(
            "No layer of this model has a trainable adapter.", "Put adapters into the model, unfrozen, first."
        )
    return layers


def train_only(layers: Iterable[Layer], chosen: Iterable[int]) -> None:
    """Thaws the adapters of the chosen layers and freezes those of all others."""
    keep = set(chosen)
    for layer in layers:
        for _, parameter in layer.parameters:
            parameter.requires_grad_(layer.index in keep)


class Snapshot:
    """The bits of all layers' adapters at one moment, to tell afterwards which layers moved."""

    def __init__(self, layers: list[Layer]) -> None:
        self._parameters = [[p for _, p in layer.parameters] for layer in layers]
        self._flat = [p for group in self._parameters for p in group]
        self._copies = [torch.empty_like(p) for p in self._flat]

    @torch.no_grad()
    def take(self) -> None:
        """Remembers the parameters as they are now."""
        torch._foreach_copy_(self._copies, self._flat)

    @torch.no_grad()
    def moved(self) -> torch.Tensor:
        """1 for each layer with a weight whose bits differ from the last `take`, else 0; on the device, shape (layers,)."""
        flags, start = [], 0
        for group in self._parameters:
            copies = self._copies[start : start + len(group)]
            start += len(group)
            differ = [(_bits(p) != _bits(c)).any() for p, c in zip(group, copies, strict=True)]
            flags.append(
                torch.stack(differ).any() if differ else torch.zeros((), dtype=torch.bool, device=self._device())
            )
        return torch.stack(flags)

    def _device(self) -> torch.device:
        return self._flat[0].device


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.detach().view(kinds[tensor.element_size()])
