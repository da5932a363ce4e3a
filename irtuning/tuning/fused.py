"""LoRA's product as one operation: peft's own layers, the same numbers, fewer passes over the activations.

Knows neither layers' places nor training. What plain peft does in five operations (down, up, scale, add, and the sum of two
gradients of the input) is done inside the matrix products themselves; a resting adapter costs its product and no more. Where it
is told which places of a batch are padding, it computes nothing there and gives zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import nn


@dataclass
class Places:
    """Which places of the batch at hand hold tokens; all layers of a model share one.

    Attributes:
        shape: (rows, places in a row), None where all places count.
        tokens: places with tokens, counted through all rows, shape (tokens,).
        used: whether any layer has asked for them with an activation of that shape.
    """

    shape: torch.Size | None = None
    tokens: torch.Tensor | None = None
    used: bool = False

    def of(self, x: torch.Tensor) -> torch.Tensor | None:
        """Those of an activation (rows, places, width); None where all count, or it is none of this batch."""
        if self.shape is None or x.shape[:-1] != self.shape:
            return None
        self.used = True
        return self.tokens


class _LoraProduct(torch.autograd.Function):
    """y = x W^T + bias + scaling (x A^T) B^T for x (places, in), W (out, in), A (r, in), B (out, r); W gets no gradient.

    With `tokens`, other places get zeros, and their gradient is zero.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
        tokens: torch.Tensor | None,
    ) -> torch.Tensor:
        ctx.places = len(x)
        x = _taken(x, tokens)
        down_cast, up_cast = down.to(x.dtype), up.to(x.dtype)
        narrow = x @ down_cast.t()
        ctx.scaling, ctx.types = scaling, (down.dtype, up.dtype)
        wants = ctx.needs_input_grad
        ctx.save_for_backward(
            x if wants[3] else None, weight if wants[0] else None, down_cast, up_cast, narrow if wants[4] else None, tokens
        )
        return _spread(nn.functional.linear(x, weight, bias).addmm_(narrow, up_cast.t(), alpha=scaling), tokens, ctx.places)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, down, up, narrow, tokens = ctx.saved_tensors
        wants = ctx.needs_input_grad
        grad = _taken(grad, tokens)
        of_x = of_down = of_up = None
        if wants[0] or wants[3]:
            between = (grad @ up).mul_(ctx.scaling)
        if wants[0]:
            of_x = _spread((grad @ weight).addmm_(between, down), tokens, ctx.places)
        if wants[3]:
            of_down = (between.t() @ x).to(ctx.types[0])
        if wants[4]:
            of_up = (grad.t() @ narrow).mul_(ctx.scaling).to(ctx.types[1])
        return of_x, None, None, of_down, of_up, None, None


def _taken(x: torch.Tensor, tokens: torch.Tensor | None) -> torch.Tensor:
    return x if tokens is None else x.index_select(0, tokens)


def _spread(x: torch.Tensor, tokens: torch.Tensor | None, places: int) -> torch.Tensor:
    return x if tokens is None else x.new_zeros(places, x.shape[1]).index_copy_(0, tokens, x)


class FusedLora(Linear):
    """peft's LoRA layer with its product in one operation, where nothing speaks against it; else peft's own way.

    Attributes:
        places: what it is told of the batch at hand.
    """

    places: Places

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As peft's: x (..., in) -> (..., out)."""
        name = self._only_adapter(x, args, kwargs)
        if name is None:
            return super().forward(x, *args, **kwargs)
        base = self.get_base_layer()
        flat = x.reshape(-1, x.shape[-1]).to(base.weight.dtype)
        y = _LoraProduct.apply(
            flat,
            base.weight,
            base.bias,
            self.lora_A[name].weight,
            self.lora_B[name].weight,
            self.scaling[name],
            self.places.of(x),
        )
        return y.reshape(*x.shape[:-1], y.shape[-1])

    def _only_adapter(self, x: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """The adapter in use, None where peft's own way is needed."""
        base = self.get_base_layer()
        names = [name for name in self.active_adapters if name in self.lora_A]
        kind = x.device.type
        computes = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        plain = (
            type(base) is nn.Linear
            and base.weight.dtype == computes
            and not (args or kwargs or self.disable_adapters or self.merged)
            and len(names) == 1
            and names[0] not in self.lora_variant
            and not self.lora_bias[names[0]]
            and not (self.training and _drops(self.lora_dropout[names[0]]))
        )
        return names[0] if plain else None


def fuse_lora(model: nn.Module) -> None:
    """Makes every plain LoRA layer of a model compute its product in one operation; names and weights stay as they are."""
    places = Places()
    for module in model.modules():
        if type(module) is Linear:
            module.__class__ = FusedLora
            module.places = places


def _drops(module: nn.Module) -> bool:
    return getattr(module, "p", 0.0) > 0.0
