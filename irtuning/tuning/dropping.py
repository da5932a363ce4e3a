"""Dropout on a CPU with the mask drawn from few random bits: the same distribution, less time.

torch draws each unit's fate as a number of its own, on one core. Here one 64-bit draw of its generator decides over four.
Knows neither models nor training; on other devices torch's own way stays.
"""

from __future__ import annotations

import torch
from torch import nn

_LEVELS = 2**16
"""A share to drop is met to within half of one part in so many."""


class QuickDropout(nn.Dropout):
    """nn.Dropout with its mask from `keep_mask` where it trains on a CPU."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As nn.Dropout's: x of any shape -> the same shape."""
        dropped = round(self.p * _LEVELS)
        if not self.training or input.device.type != "cpu" or not 0 < dropped < _LEVELS:
            return super().forward(input)
        kept = keep_mask(input.shape, dropped).to(input.dtype)
        return input * kept.mul_(_LEVELS / (_LEVELS - dropped))


def keep_mask(shape: torch.Size, dropped: int) -> torch.Tensor:
    """A boolean mask that is false with a probability of `dropped` in 65,536, from torch's generator of the CPU."""
    count = shape.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    return (draws.view(torch.int16)[:count] >= dropped - _LEVELS // 2).view(shape)


def quicken_dropout(model: nn.Module) -> None:
    """Makes every plain dropout of a model draw its mask this way; names and states stay as they are."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = QuickDropout
