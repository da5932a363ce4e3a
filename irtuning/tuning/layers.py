"""Finds the layers of any transformer by structure, their adapter parameters, and freezes or thaws them.

Knows no model family by name: the layers are the module list that is as long as the config says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from irtuning.errors import ModelError
from irtuning.tuning.quantised import full_weight


@dataclass(frozen=True)
class Layer:
    """One unit that is chosen or rests: a layer, or a part of one, and the adapter parameters in it.

    Attributes:
        index: from 0, input first. name: for people, a path in the model. parameters: (path in the model, parameter) of its adapters.
        depth: the layer it belongs to, from 0; with whole layers the same as `index` where every layer has adapters.
    """

    index: int
    name: str
    parameters: tuple[tuple[str, nn.Parameter], ...]
    depth: int

    @property
    def size(self) -> int:
        """Adapter weights in it."""
        return sum(parameter.numel() for _, parameter in self.parameters)


UnitKind = Literal["layer", "block", "module"]


def text_config(config: Any) -> Any:
    """The part of a model's config that tells of what reads text: all of it, but in a model that also sees, its text part."""
    return getattr(config, "get_text_config", lambda: config)()


def layer_modules(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Path and module list of the model's transformer layers.

    Raises:
        ModelError: no module list is as long as the config's number of layers, or there are two stacks.
    """
    config = next((module.config for module in model.modules() if hasattr(module, "config")), None)
    stacks = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if getattr(config, "is_encoder_decoder", False) and {"encoder", "decoder"} <= stacks:
        raise ModelError(
            "This model has two stacks of layers, an encoder's and a decoder's.",
            "Choose one with a single stack, e.g. of BERT's or Llama's kind.",
        )
    text = text_config(config)
    count = next(
        (
            getattr(text, key)
            for key in ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
            if hasattr(text, key)
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


def find_layers(model: nn.Module, unit: UnitKind = "layer") -> list[Layer]:
    """The model's units with those of their parameters that are trainable now, i.e. their adapters.

    A layer without adapters is no unit: its score would stay the highest for ever, and no choice of it could train anything.

    Args:
        unit: whole layers; blocks, a layer's attention and what else it has; or each adapted module.

    Raises:
        ModelError: there are no layers, or none has anything to train.
    """
    name, modules = layer_modules(model)
    found: list[Layer] = []
    for depth, layer in enumerate(modules):
        groups: dict[str, list[tuple[str, nn.Parameter]]] = {}
        for path, parameter in layer.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(_group(layer, path, unit), []).append((f"{name}.{depth}.{path}", parameter))
        for group, parameters in groups.items():
            own = f"{name}.{depth}.{group}" if group else f"{name}.{depth}"
            found.append(Layer(len(found), own, tuple(parameters), depth))
    if not found:
        raise ModelError(
            "No layer of this model has a trainable adapter.", "Put adapters into the model, unfrozen, first."
        )
    return found


def _group(layer: nn.Module, path: str, unit: UnitKind) -> str:
    """Which part of a layer a parameter belongs to; empty for the whole."""
    if unit == "layer":
        return ""
    parts = path.split(".")
    if unit == "block":
        return "attention" if any("attn" in part or "attention" in part for part in parts) else "mlp"
    for count in range(1, len(parts)):
        if isinstance(layer.get_submodule(".".join(parts[:count])), BaseTunerLayer):
            return ".".join(parts[:count])
    return ".".join(parts[:-1])


def adapter_modules(model: nn.Module, units: Sequence[Layer]) -> list[list[BaseTunerLayer]]:
    """The peft modules that hold each unit's adapter, one list a unit."""
    tuners = {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    found = []
    for unit in units:
        owners = dict.fromkeys(
            name for path, _ in unit.parameters for name in _parents(path) if name in tuners
        )
        found.append([tuners[name] for name in owners])
    return found


def layer_adapters(model: nn.Module) -> list[list[BaseTunerLayer]]:
    """The peft modules inside each layer, one list a layer, whether their adapters train or, once loaded, never do.

    Raises:
        ModelError: there are no layers.
    """
    _, layers = layer_modules(model)
    return [[module for module in layer.modules() if isinstance(module, BaseTunerLayer)] for layer in layers]


def frozen_norms(model: nn.Module, units: Sequence[Layer]) -> tuple[float, ...]:
    """L2 norm of the frozen weights beside each unit's adapters; 1 where there are none."""
    sums = []
    for modules in adapter_modules(model, units):
        # One at a time: a quantised weight is there in full only while it is summed.
        squares = (full_weight(module.get_base_layer()).detach().float().square().sum() for module in modules)
        sums.append(sum(float(square) for square in squares))
    return tuple(total**0.5 if total else 1.0 for total in sums)


def _parents(path: str) -> Iterator[str]:
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        yield ".".join(parts[:count])


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
        differ = _differ_at_once if self._device().type == "cpu" else _differ
        flags, start = [], 0
        for group in self._parameters:
            flags.append(differ(group, self._copies[start : start + len(group)], self._device()))
            start += len(group)
        return torch.stack(flags)

    def _device(self) -> torch.device:
        return self._flat[0].device


def _differ(tensors: Sequence[torch.Tensor], copies: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
    """Whether any tensor's bits differ from its copy's, without waiting for the device."""
    found = [(_bits(p) != _bits(c)).any() for p, c in zip(tensors, copies, strict=True)]
    return torch.stack(found).any() if found else torch.zeros((), dtype=torch.bool, device=device)


def _differ_at_once(tensors: Sequence[torch.Tensor], copies: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
    """The same on a CPU, where nothing is waited for: the first difference ends the search."""
    return torch.tensor(any(not torch.equal(_bits(p), _bits(c)) for p, c in zip(tensors, copies, strict=True)))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.detach().view(kinds[tensor.element_size()])
