"""Cosine importance: how much each layer turns the hidden states that pass through it. Listens; changes nothing.

Low similarity between what enters and what leaves a layer means that the layer matters. Padding is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from irtuning.tuning.ranks import sum_over_ranks, widest_over_ranks


class CosineMeter:
    """Sums the hidden states entering and leaving each layer over the rows of a step, position by position.

    Args:
        model: what is called with `attention_mask`. layers: its layers, input first.
    """

    def __init__(self, model: nn.Module, layers: Sequence[nn.Module]) -> None:
        self._count = len(layers)
        self._hooks = [model.register_forward_pre_hook(self._begin, with_kwargs=True)]
        self._hooks += [
            layer.register_forward_hook(lambda m, a, k, out, i=i: self._take(i, a, k, out), with_kwargs=True)
            for i, layer in enumerate(layers)
        ]
        self._model = model
        self._mask: torch.Tensor | None = None
        self._masked = True
        self._due: set[int] = set()
        self.reset()

    def reset(self) -> None:
        """Forgets what was summed: a new step begins."""
        self._sums: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * self._count
        self._rows: torch.Tensor | None = None

    def mark(self) -> Any:
        """What was summed so far, for `rewind`; sums are never changed in place."""
        return list(self._sums), self._rows

    def rewind(self, mark: Any) -> None:
        """Forgets what was summed since `mark`."""
        self._sums, self._rows = list(mark[0]), mark[1]

    def disregard(self, mark: Any) -> None:
        """As `rewind`, but sums that began since then stay, as zeros."""
        sums, rows = mark
        self._sums = [
            (torch.zeros_like(new[0]), torch.zeros_like(new[1])) if old is None and new is not None else old
            for old, new in zip(sums, self._sums, strict=True)
        ]
        self._rows = torch.zeros_like(self._rows) if rows is None and self._rows is not None else rows

    def remove(self) -> None:
        """Stops listening."""
        for hook in self._hooks:
            hook.remove()

    def scores(self) -> torch.Tensor:
        """Mean over the positions of the cosine between the mean states, -1.. 1; NaN where nothing passed; shape (layers,).

        The states are those of all processes together: the mean of their cosines would be another number.
        """
        widest = widest_over_ranks([*(s[0] for s in self._sums if s is not None), *([] if self._rows is None else [self._rows])])
        rows = None if self._rows is None else sum_over_ranks(self._rows, widest)
        found = []
        for sums in self._sums:
            if sums is None:
                found.append(torch.tensor(float("nan"), device=self._device()))
                continue
            into, out = (sum_over_ranks(part, widest) for part in sums)
            cosine = nn.functional.cosine_similarity(into, out, dim=-1)
            if rows is None:
                found.append(cosine.mean())
            else:
                seen = (rows > 0).type(cosine.dtype)
                found.append((cosine * seen).sum() / seen.sum())
        return torch.stack(found)

    def _device(self) -> torch.device:
        return next(self._model.parameters()).device

    def _begin(self, model: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        # A layer that gradient checkpointing runs again in the backward pass is taken once.
        self._due = set(range(self._count)) if model.training else set()
        mask = inputs.get("attention_mask")
        self._mask = mask if self._masked and isinstance(mask, torch.Tensor) and mask.dim() == 2 else None
        if self._due and self._mask is not None:
            self._rows = _added(self._rows, self._mask.sum(dim=0).float())

    @torch.no_grad()
    def _take(self, index: int, args: tuple[Any, ...], inputs: dict[str, Any], output: Any) -> None:
        if index not in self._due:
            return
        self._due.discard(index)
        into = args[0] if args else inputs["hidden_states"]
        out = output[0] if isinstance(output, tuple) else output
        if self._mask is not None and self._mask.shape != into.shape[:2]:
            # It counts other things than the layers' positions, e.g. samples of a sound: nothing is known of padding then.
            self._masked, self._mask, self._rows = False, None, None
        into, out = self._summed(into), self._summed(out)
        known = self._sums[index]
        self._sums[index] = (into, out) if known is None else (_added(known[0], into), _added(known[1], out))

    def _summed(self, states: torch.Tensor) -> torch.Tensor:
        """(rows, positions, width) -> (positions, width), float32, without padding."""
        if self._mask is None:
            return states.detach().float().sum(dim=0)
        # In here the pass may compute products in half the numbers, which would tell layers apart by steps of 0.004.
        with torch.autocast(states.device.type, enabled=False):
            return torch.einsum("rp,rpw->pw", self._mask.float(), states.detach().float())


def _added(old: torch.Tensor | None, new: torch.Tensor) -> torch.Tensor:
    """The sum of two whose first sizes may differ: micro-batches have widths of their own."""
    if old is None:
        return new
    if old.shape[0] < new.shape[0]:
        old, new = new, old
    total = old.clone()
    total[: new.shape[0]] += new
    return total
