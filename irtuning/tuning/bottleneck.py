"""The parallel bottleneck adapter as a peft method of its own: y = base(x) + scaling * up(tanh(down(x))).

Importing this file registers it, so that peft saves, loads, switches off and reports it like any other. Plain peft without
this file refuses such an adapter: its product is no LoRA. Knows neither layers' places nor training.
Source: He et al., 2022 (parallel adapter); width 256, tanh and scaling 1 in the reference implementation of IR-Tuning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType
from torch import nn
from transformers.pytorch_utils import Conv1D

from irtuning.errors import ModelError

NAME = "bottleneck"


@dataclass
class BottleneckConfig(PeftConfig):
    """Choices of the adapter.

    Attributes:
        width: of the bottleneck. scaling: of what it adds.
        target_modules: names, or a regular expression that is matched in full. modules_to_save: trained and saved in full.
    """

    width: int = 256
    scaling: float = 1.0
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = field(default=None)
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType(NAME.upper())


class BottleneckLayer(nn.Module, BaseTunerLayer):
    """A linear module with bottlenecks beside it, one an adapter name. `up` starts at zero, so nothing changes at first."""

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ("width", "scaling")

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: BottleneckConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self.bottleneck_down, self.bottleneck_up = nn.ModuleDict(), nn.ModuleDict()
        self.width: dict[str, int] = {}
        self.scaling: dict[str, float] = {}
        base = self.get_base_layer()
        # Conv1D of GPT-2 keeps its weight as (in, out).
        shape = tuple(base.weight.shape)
        self.in_features, self.out_features = shape if isinstance(base, Conv1D) else (base.in_features, base.out_features)
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: BottleneckConfig) -> None:
        """Adds an adapter of this name."""
        self.width[adapter_name], self.scaling[adapter_name] = config.width, config.scaling
        self.bottleneck_down[adapter_name] = nn.Linear(self.in_features, config.width)
        self.bottleneck_up[adapter_name] = nn.Linear(config.width, self.out_features)
        nn.init.kaiming_uniform_(self.bottleneck_down[adapter_name].weight, a=math.sqrt(5))
        for tensor in (self.bottleneck_down[adapter_name].bias, *self.bottleneck_up[adapter_name].parameters()):
            nn.init.zeros_(tensor)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def scale_layer(self, scale: float) -> None:
        """Scales what the active adapters add."""
        for name in self.active_adapters:
            if name in self.scaling:
                self.scaling[name] *= scale

    def unscale_layer(self, scale: float) -> None:
        """Undoes `scale_layer` with the same number."""
        self.scale_layer(1 / scale)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """x (..., in) -> (..., out)."""
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return result
        for name in self.active_adapters:
            if name in self.bottleneck_down:
                down, up = self.bottleneck_down[name], self.bottleneck_up[name]
                narrow = torch.tanh(down(x if torch.is_autocast_enabled(x.device.type) else x.to(down.weight.dtype)))
                result = result + (up(narrow) * self.scaling[name]).to(result.dtype)
        return result

    def merge(self, *args: Any, **kwargs: Any) -> None:
        """Refuses: with tanh between its two products it is no matrix that could be added to the base weights.

        Raises:
            ModelError: always.
        """
        raise ModelError("A bottleneck adapter cannot be merged into its base weights.", "Keep it beside them, or train LoRA.")

    unmerge = merge


class BottleneckModel(BaseTuner):
    """Puts bottlenecks beside a model's target modules."""

    prefix = NAME + "_"
    tuner_layer_cls = BottleneckLayer
    target_module_mapping: ClassVar[dict[str, list[str]]] = {}

    def _create_and_replace(
        self,
        peft_config: BottleneckConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **kwargs: Any,
    ) -> None:
        if isinstance(target, BottleneckLayer):
            target.update_layer(adapter_name, peft_config)
            return
        if not isinstance(target, nn.Linear | Conv1D):
            raise TypeError(f"a bottleneck stands beside linear modules only, not {type(target).__name__}")
        module = BottleneckLayer(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            module.requires_grad_(False)
        self._replace_module(parent, target_name, module, target)


def _register() -> None:
    # peft lists its methods in an enumeration; one more member has to be put there before it takes the method.
    kind = NAME.upper()
    if kind not in PeftType._member_map_:
        member = str.__new__(PeftType, kind)
        member._name_, member._value_ = kind, kind
        PeftType._member_map_[kind] = PeftType._value2member_map_[kind] = member
        PeftType._member_names_.append(kind)
        type.__setattr__(PeftType, kind, member)
        register_peft_method(name=NAME, config_cls=BottleneckConfig, model_cls=BottleneckModel)


_register()
