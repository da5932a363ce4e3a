"""What the passes of one step add up to: loss, tokens, and the batches themselves. Knows no layers and no policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from irtuning.tuning.losses import Seen, own_mean


@dataclass
class Tally:
    """Sums over the passes of a step so far, on the device; None where no pass told one.

    Attributes:
        loss: of each pass's mean loss times its weight. weight: of the passes. tokens: padding left out.
        seen: the passes' batches, where they are kept.
    """

    loss: torch.Tensor | None = None
    weight: torch.Tensor | None = None
    tokens: torch.Tensor | None = None
    seen: list[Seen] = field(default_factory=list)

    def take(self, inputs: dict[str, Any], output: Any, model: nn.Module, *, keep: bool) -> None:
        """Adds a pass, without leaving the device; `keep`: with its batch."""
        if (mask := inputs.get("attention_mask")) is not None:
            tokens = mask.sum()
            self.tokens = tokens if self.tokens is None else self.tokens + tokens
        loss = getattr(output, "loss", None)
        if loss is None:
            return
        loss, weight, inputs = own_mean(loss.detach(), inputs, model)
        self.loss = loss * weight if self.loss is None else self.loss + loss * weight
        self.weight = weight if self.weight is None else self.weight + weight
        if keep:
            self.seen.append((inputs, weight))

    def copy(self) -> Tally:
        """The same, which later passes do not change."""
        return replace(self, seen=list(self.seen))

    def without_what_came_after(self, mark: Tally) -> Tally:
        """`mark`, an earlier copy, in which what began since stands as zeros or with no weight: every process must have some."""
        loss, weight, tokens = (
            torch.zeros_like(new) if old is None and new is not None else old
            for old, new in ((mark.loss, self.loss), (mark.weight, self.weight), (mark.tokens, self.tokens))
        )
        since = self.seen[len(mark.seen) :]
        return Tally(loss, weight, tokens, [*mark.seen, *((inputs, torch.zeros_like(each)) for inputs, each in since)])

    @property
    def sums(self) -> list[torch.Tensor]:
        """Tokens, loss and weight, as far as there are any."""
        return [part for part in (self.tokens, self.loss, self.weight) if part is not None]

    def read(self, sums: Sequence[float], processes: int) -> tuple[float | None, int]:
        """(mean loss, tokens) of the step from `sums` as numbers, averaged over so many processes."""
        loss = sums[-2] / sums[-1] if self.loss is not None and sums[-1] else None
        return loss, round(sums[0] * processes) if self.tokens is not None else 0
