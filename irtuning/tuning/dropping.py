"""Dropout on a CPU with the mask drawn from few random bits: the same distribution, less time.

torch draws each unit's fate as a number of its own, on one core. Here one 64-bit draw of its generator decides over four.
Knows no training; on other devices torch's own way stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_LEVELS = 2**16
"""A share to drop is met to within half of one part in so many."""
_DROPPING = ("attention_dropout", "activation_dropout", "attn_dropout", "dropout", "drop_prob")
"""Attributes under which modules of some families hold the share that they drop by a function call."""


class QuickDropout(TorchFunctionMode):
    """While it stands, every dropout of a forward pass draws its mask from `keep_mask`: that of modules, and that of attention's weights.

    Not for activations that are computed again: the backward pass is out of its reach, and would drop other units.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Calls `func`, or `dropout` in place of torch's."""
        return (dropout if func is nn.functional.dropout else func)(*args, **(kwargs or {}))


def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """As torch's: x of any shape -> the same shape, units zero with probability p and the others scaled by 1 / (1 - p)."""
    dropped = round(p * _LEVELS)
    if not training or inplace or input.device.type != "cpu" or not 0 < dropped < _LEVELS:
        return nn.functional.dropout(input, p, training, inplace)
    kept = keep_mask(input.shape, dropped).to(input.dtype)
    return input * kept.mul_(_LEVELS / (_LEVELS - dropped))


def keep_mask(shape: torch.Size, dropped: int) -> torch.Tensor:
    """A boolean mask that is false with a probability of `dropped` in 65,536, from torch's generator of the CPU."""
    count = shape.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    return (draws.view(torch.int16)[:count] >= dropped - _LEVELS // 2).view(shape)


def drops(modules: Iterable[nn.Module]) -> bool:
    """Whether any of these modules drops units out while it trains, by a module of torch's or by a call of its own."""
    return any(
        (isinstance(module, nn.Dropout) and module.p > 0)
        or any(isinstance(share := getattr(module, name, None), float) and share > 0 for name in _DROPPING)
        for module in modules
    )
