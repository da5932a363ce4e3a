"""What passes over parts of a batch cost on a device, as measured, and so in which sizes they are best computed. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from irtuning.tuning.batches import ANY, Grain


@dataclass(frozen=True)
class Passes:
    """Of one device and number format.

    Attributes:
        price: what a pass costs beside its tokens, in tokens that could be computed meanwhile.
        grain: sizes they come in. skip_padding: whether leaving padding out of products saves time; not with a grain, whose passes
            are wider than their longest row.
    """

    price: int
    grain: Grain
    skip_padding: bool

    def __post_init__(self) -> None:
        if self.skip_padding and (self.grain.rows, self.grain.tokens) != (1, 1):
            raise ValueError("Padding cannot be left out of passes that come in a grain.")


MEASURED = {
    ("cpu", torch.float32): Passes(64, ANY, skip_padding=True),
    # Products are so fast that taking places out and putting them back costs more. oneDNN compiles a kernel for every product of
    # a size that it has not kept, which costs as much as the product: a quarter of the time where no two batches are alike.
    ("cpu", torch.bfloat16): Passes(128, Grain(rows=4, tokens=8), skip_padding=False),
}
"""By MiniLM and SmolLM2."""
ELSEWHERE = Passes(1024, ANY, skip_padding=True)
"""Where a pass is started kernel by kernel; not measured."""


def passes_on(device: str, dtype: torch.dtype, longest: int) -> Passes:
    """Of a device by its type.

    Args:
        longest: tokens that no row has more of; nor is any padded beyond it, as a model may have no more positions.
    """
    known = MEASURED.get((device, dtype), ELSEWHERE)
    return replace(known, grain=replace(known.grain, longest=longest))
