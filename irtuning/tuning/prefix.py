"""Keeps what comes out of layers that rest for long: for a training row it is the same in every pass over the corpus.

A cached row skips the layers below the cut in forward passes of training; evaluation always runs the whole network. Knows
neither policies nor texts. Rows are known by their index in the training part.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from irtuning.tuning.checkpoints import folder_of, resumed_from
from irtuning.tuning.layers import layer_modules

PATIENCE = 10
"""Steps in which the low layers must have rested before their output is worth keeping."""
SHELF = "prefix"
"""Folder beside the checkpoints that holds kept states, one file a process and checkpoint."""
LIMIT_MIB = 2048
"""Most memory for hidden states; rows beyond it are computed anew in every pass."""


class PrefixCache(TrainerCallback):
    """Hidden states entering the lowest layer that trains, a row each, from the time its predecessors rest.

    While a cut stands, the layers below it run without dropout, so that a row's states are those of every pass; the states
    themselves get the model's dropout instead, anew in each pass: without it a small corpus is learnt by heart. As soon as one
    of the layers trains again, all is forgotten. As a callback it puts what is new since the last checkpoint beside the
    checkpoints, so that a resumed run finds the very same states.

    Args:
        model: the model that trains, peft's or transformers' own. limit_mib: most memory for states.
    """

    def __init__(self, model: nn.Module, *, patience: int = PATIENCE, limit_mib: int = LIMIT_MIB) -> None:
        self._model = model
        _, self._layers = layer_modules(model)
        self._dropout = hidden_dropout(model.config)
        self._lowest: deque[int] = deque(maxlen=patience)
        self._limit = limit_mib * 2**20
        self._hooks: list[Any] = []
        self._rows: Sequence[int] = ()
        self._lengths: Sequence[int] = ()
        self._hit = False
        self._step = 0
        self.hits = 0
        """Forward passes that skipped the layers below the cut."""
        self._forget()

    def take_choice(self, lowest: int) -> None:
        """Told before each step the lowest layer that trains in it; moves the cut."""
        self._lowest.append(lowest)
        if lowest < self.cut:
            self._forget()
        steady = min(self._lowest)
        if not self.cut and steady > 0 and len(self._lowest) == self._lowest.maxlen:
            self._begin(steady, self._step + 1)

    @contextmanager
    def around(self, rows: Sequence[int], lengths: Sequence[int]) -> Iterator[None]:
        """Around one forward and backward pass over these rows, right-padded to the longest."""
        if not self.cut:
            yield
            return
        self._quiet()
        self._rows, self._lengths = rows, lengths
        self._hit = all(row in self._states for row in rows)
        skipped = list(self._layers[: self.cut]) if self._hit else []
        for layer in skipped:
            layer.forward = _passing(self._parts)
        try:
            yield
            self.hits += int(self._hit)
        finally:
            for layer in skipped:
                del layer.forward
            self._rows = ()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Keeps the cut in the checkpoint and the states that are new in a file of their own beside all checkpoints."""
        folder = folder_of(args, state)
        if not folder.is_dir():
            return
        told = {"cut": self.cut, "since": self._since, "parts": self._parts, "lowest": list(self._lowest)}
        (folder / _state_file(args)).write_text(json.dumps(told), encoding="utf-8")
        if self._new:
            shelf = folder.parent / SHELF
            shelf.mkdir(exist_ok=True)
            scratch = shelf / f"{_shard(args, state.global_step)}.tmp"
            save_file({str(row): self._states[row].contiguous() for row in self._new}, scratch)
            scratch.replace(shelf / _shard(args, state.global_step))
            self._new = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Takes up the cut and the states of a checkpoint, where training is resumed from one."""
        path = resumed_from(args, state, _state_file(args))
        if path is None:
            return
        told = json.loads(path.read_text(encoding="utf-8"))
        self._lowest.extend(told["lowest"])
        if told["cut"]:
            self._begin(told["cut"], told["since"])
            self._parts = told["parts"]
            for step in range(told["since"], state.global_step + 1):
                shard = path.parent.parent / SHELF / _shard(args, step)
                if shard.is_file():
                    kept = load_file(shard, device=str(next(self._layers.parameters()).device))
                    self._states.update({int(row): states for row, states in kept.items()})
            self._bytes = sum(states.numel() * states.element_size() for states in self._states.values())

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Notes the step, by which files of an earlier cut are told from those of this one."""
        self._step = state.global_step

    def remove(self) -> None:
        """Stops keeping and forgets everything."""
        self._forget()

    def _begin(self, cut: int, since: int) -> None:
        self.cut, self._since = cut, since
        self._hooks = [
            self._layers[cut].register_forward_pre_hook(self._exchange, with_kwargs=True),
            self._layers[cut - 1].register_forward_hook(self._look),
        ]

    def _forget(self) -> None:
        self.cut, self._since = 0, 0
        self._new: list[int] = []
        self._states: dict[int, torch.Tensor] = {}
        self._bytes = 0
        self._parts = 0
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _quiet(self) -> None:
        """No dropout in what comes before the cut."""
        whole = self._model.get_base_model() if hasattr(self._model, "get_base_model") else self._model
        body = getattr(whole, whole.base_model_prefix, None)
        if body is None:
            return
        pooler = [module for name, module in body.named_children() if "pool" in name]
        body.eval()
        for module in [*self._layers[self.cut :], *pooler]:
            module.train()

    def _look(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Learns what a layer of this family gives: states alone, or a tuple that begins with them."""
        self._parts = len(output) if isinstance(output, tuple) else 0

    def _exchange(self, layer: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
        """Before the lowest training layer: puts cached states in, or keeps what arrives."""
        if not self._rows:
            return None
        states = args[0] if args else inputs["hidden_states"]
        if self._hit:
            found = nn.utils.rnn.pad_sequence([self._states[row] for row in self._rows], batch_first=True)
            found = found.to(device=states.device, dtype=states.dtype)
        else:
            found = states.detach()
            self._keep(found)
        found = nn.functional.dropout(found, self._dropout)
        return ((found, *args[1:]), inputs) if args else (args, {**inputs, "hidden_states": found})

    def _keep(self, states: torch.Tensor) -> None:
        # Where gradients are checkpointed a layer is called again in the backward pass; its states are then kept already.
        for place, (row, length) in enumerate(zip(self._rows, self._lengths, strict=True)):
            if row in self._states:
                continue
            part = states[place, :length]
            size = part.numel() * part.element_size()
            if self._bytes + size > self._limit:
                continue
            # On the device where it is: a copy to the host would wait for it, once a row.
            self._states[row] = part.clone()
            self._new.append(row)
            self._bytes += size


def hidden_dropout(config: Any) -> float:
    """The dropout of a model's hidden states while it trains, by whatever name its family gives it; 0 where it has none."""
    names = ("hidden_dropout_prob", "hidden_dropout", "resid_pdrop", "residual_dropout", "dropout", "mlp_dropout")
    found = (getattr(config, name, None) for name in names)
    return next((float(value) for value in found if isinstance(value, int | float)), 0.0)


def _state_file(args: TrainingArguments) -> str:
    return f"prefix-{args.process_index}.json"


def _shard(args: TrainingArguments, step: int) -> str:
    return f"{args.process_index}-{step}.safetensors"


def _passing(parts: int) -> Callable[..., Any]:
    """A forward that hands hidden states on as they are; in a tuple of `parts` where the family's layers give one."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        states = args[0] if args else kwargs["hidden_states"]
        return (states, *[None] * (parts - 1)) if parts else states

    return forward
