"""Several processes that train one model: what each of them must know alike. Alone, nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist

from irtuning.config import processes


def join_others(**options: Any) -> None:
    """Meets the processes that a launcher started beside this one, where that has not happened yet; alone, does nothing.

    Args:
        options: of accelerate's PartialState, e.g. `timeout`, the longest that one may wait for the others.
    """
    if processes() > 1 and not dist.is_initialized():
        from accelerate import PartialState

        PartialState(**options)


def several() -> bool:
    """Whether this process trains beside others."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def world_size() -> int:
    """How many processes train."""
    return dist.get_world_size() if several() else 1


def told_by_first(value: Any) -> Any:
    """What the first process holds, on every one of them; plain data."""
    if not several():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def any_rank(flag: bool) -> bool:
    """Whether any process says so."""
    if not several():
        return flag
    box: list[bool | None] = [None] * dist.get_world_size()
    dist.all_gather_object(box, flag)
    return any(box)


def wait_for_all() -> None:
    """Returns once every process has come here."""
    if several():
        dist.barrier()


def mean_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over all processes, on every one of them; the tensor itself where there is one process."""
    if several():
        dist.all_reduce(values)
        values = values / dist.get_world_size()
    return values


def widest_over_ranks(tensors: Sequence[torch.Tensor]) -> int:
    """The largest first size of these tensors on any process; 0 where there are none. Alone, nothing leaves the device."""
    widest = max((len(tensor) for tensor in tensors), default=0)
    if several():
        known = torch.tensor(widest, device=tensors[0].device if tensors else None)
        dist.all_reduce(known, op=dist.ReduceOp.MAX)
        widest = int(known)
    return widest


def sum_over_ranks(values: torch.Tensor, length: int) -> torch.Tensor:
    """The sum of a tensor over all processes, each filled up with zeros to `length` rows; itself where there is one process."""
    if not several():
        return values
    whole = values.new_zeros((length, *values.shape[1:]))
    whole[: len(values)] = values
    dist.all_reduce(whole)
    return whole


def first_rank() -> bool:
    """Whether this process is the one that writes and reports."""
    return not several() or dist.get_rank() == 0
