"""Keeps what comes out of layers that rest for long: for a training row it is the same in every pass over the corpus.

A cached row skips the layers below the cut in forward passes of training; evaluation always runs the whole network. Knows
neither policies nor texts. Rows are known by their index in the training part.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from irtuning.combinations import RESTING
from irtuning.tuning.batches import ANY, Grain
from irtuning.tuning.checkpoints import PREFIX, folder_of, resumed_from, sync
from irtuning.tuning.dropping import drops
from irtuning.tuning.entrance import Entrance
from irtuning.tuning.layers import layer_modules

PATIENCE = RESTING
_log = logging.getLogger(__name__)
SHELF = "prefix"
"""Folder beside the checkpoints that holds kept states, one file a process and checkpoint."""
DRAWS = 2
"""Times a row's states are computed and kept where something drops units out on the way: with one draw, a small corpus is
learnt by heart."""
LIMIT_MIB = 2048
"""Most memory for hidden states; rows beyond it are computed anew in every pass."""


class PrefixCache(TrainerCallback):
    """Hidden states entering the lowest layer that trains, a row each, from the time its predecessors rest.

    While a cut stands, a training pass begins at it: rows whose states are not kept yet go through the layers below in a pass
    of their own first. Without dropout below the cut a row has one state; with it, `draws` states from as many passes, of which
    each later pass takes one at random. As soon as one of the layers below the cut trains again, all is forgotten. As a
    callback it puts what is new since the last checkpoint beside the checkpoints, so that a resumed run finds the same states.

    Args:
        model: the model that trains, peft's or transformers' own. limit_mib: most memory for states.
        draws: states that a row has where something drops units out below the cut, at least 1.
        grain: sizes that passes come in.
    """

    def __init__(
        self, model: nn.Module, *, patience: int = PATIENCE, limit_mib: int = LIMIT_MIB, draws: int = DRAWS, grain: Grain = ANY
    ) -> None:
        _, self._layers = layer_modules(model)
        whole = model.get_base_model() if hasattr(model, "get_base_model") else model
        # The part that head and adapters' wrappers call as a module: hooks of its own see every pass.
        self._body = getattr(whole, whole.base_model_prefix, whole)
        self._entrance = Entrance(self._body, self._layers)
        self._most, self._grain = draws, grain
        self._lowest: deque[int] = deque(maxlen=patience)
        self._limit = limit_mib * 2**20
        self._hooks: list[Any] = []
        self._rows: Sequence[int] = ()
        self._lengths: Sequence[int] = ()
        self._arrived: list[torch.Tensor] | None = None
        self._step = 0
        self.hits = 0
        """Training passes in which no row went through the layers below the cut."""
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
        """Around one forward and backward pass over these rows, padded on the right."""
        if not self.cut:
            yield
            return
        self._rows, self._lengths = rows, lengths
        try:
            yield
        finally:
            self._rows, self._found = (), []
            self._resting(self._layers, False)
            self._entrance.work()

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
            kept = {f"{row}.{draw}": self._states[row][draw].contiguous() for row, draw in self._new}
            save_file(kept, scratch)
            sync(scratch)
            scratch.replace(shelf / _shard(args, state.global_step))
            sync(shelf)
            self._new = []
        _clear(args, folder.parent)

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
                    try:
                        kept = load_file(shard, device=str(next(self._layers.parameters()).device))
                    except SafetensorError:
                        _log.warning("Kept states are damaged and computed anew: %s", shard.name)
                        continue
                    for name in sorted(kept, key=lambda name: int(name.partition(".")[2])):
                        self._take(int(name.partition(".")[0]), kept[name])

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Notes the step, by which files of an earlier cut are told from those of this one."""
        self._step = state.global_step

    def remove(self) -> None:
        """Stops keeping and forgets everything."""
        self._forget()

    def _begin(self, cut: int, since: int) -> None:
        self.cut, self._since = cut, since
        self._draws = self._most if drops(self._below()) else 1
        self._hooks = [
            self._body.register_forward_pre_hook(self._gather, with_kwargs=True),
            self._layers[cut - 1].register_forward_hook(self._look),
            self._layers[cut].register_forward_pre_hook(self._exchange, with_kwargs=True),
        ]

    def _forget(self) -> None:
        self.cut, self._since = 0, 0
        self._new: list[tuple[int, int]] = []
        self._states: dict[int, list[torch.Tensor]] = {}
        self._draws = 1
        self._bytes = 0
        self._parts = 0
        self._found: list[torch.Tensor] = []
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _any_draw(self) -> int:
        # From torch's own generator, which checkpoints keep; where there is one draw, it is not touched.
        return int(torch.randint(self._draws, ())) if self._draws > 1 else 0

    def _below(self) -> Iterator[nn.Module]:
        """Everything that runs before the cut."""
        apart = {id(module) for layer in self._layers[self.cut :] for module in layer.modules()}
        apart |= {id(part) for name, child in self._body.named_children() if "pool" in name for part in child.modules()}
        return (module for module in self._body.modules() if id(module) not in apart)

    def _resting(self, layers: Iterable[nn.Module], rest: bool) -> None:
        """Lets layers hand hidden states on as they are, in a tuple where the family's layers give one; or work again."""

        def forward(*args: Any, **kwargs: Any) -> Any:
            states = args[0] if args else kwargs["hidden_states"]
            return (states, *[None] * (self._parts - 1)) if self._parts else states

        for layer in layers:
            if rest:
                layer.forward = forward
            else:
                vars(layer).pop("forward", None)

    def _gather(self, body: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        """Before a training pass: states of all its rows, the missing ones computed; then the layers below the cut rest."""
        if not self._rows or self._arrived is not None:
            return
        self._arrived = []
        try:
            self._entrance.look()
        finally:
            self._arrived = None
        missing = [i for i, row in enumerate(self._rows) if len(self._states.get(row, ())) < self._draws]
        fresh = dict(zip(missing, self._computed(missing, args, inputs), strict=True)) if missing else {}
        self._found = [
            fresh[i] if i in fresh else self._states[row][self._any_draw()] for i, row in enumerate(self._rows)
        ]
        self.hits += not missing
        self._resting(self._layers[: self.cut], True)
        self._entrance.rest(len(self._rows))

    def _computed(self, places: list[int], args: tuple[Any, ...], inputs: dict[str, Any]) -> list[torch.Tensor]:
        """What arrives at the cut for some of the pass's rows, each of its own length; kept while there is room."""
        longest = self._grain.width(max(self._lengths[i] for i in places))
        # Others come along to fill up the grain; what they give is not looked at.
        others = [i for i in range(len(self._rows)) if i not in places]
        along = [*places, *others[: -len(places) % self._grain.rows]]

        def part(value: Any) -> Any:
            whole = isinstance(value, torch.Tensor) and value.dim() == 2 and len(value) == len(self._rows)
            return value[along, :longest] if whole else value

        self._arrived = []
        self._resting(self._layers[self.cut :], True)
        try:
            with torch.no_grad():
                self._body(*map(part, args), **{name: part(value) for name, value in inputs.items()})
            (states,) = self._arrived
        finally:
            self._arrived = None
            self._resting(self._layers, False)
        found = [states[place, : self._lengths[i]] for place, i in enumerate(places)]
        for i, one in zip(places, found, strict=True):
            row = self._rows[i]
            if row in self._states or self._bytes + self._reserved(one) <= self._limit:
                self._new.append((row, len(self._states.get(row, ()))))
                # On the device where it is: a copy to the host would wait for it, once a row.
                self._take(row, one.clone())
        return found

    def _look(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Learns what a layer of this family gives: states alone, or a tuple that begins with them."""
        self._parts = len(output) if isinstance(output, tuple) else 0

    def _exchange(self, layer: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
        """Before the lowest training layer: notes what arrives, or puts the gathered states in."""
        states = args[0] if args else inputs["hidden_states"]
        if self._arrived is not None:
            self._arrived.append(states)
        if not self._found:
            return None
        found = nn.utils.rnn.pad_sequence(self._found, batch_first=True).to(device=states.device, dtype=states.dtype)
        found = nn.functional.pad(found, (0, 0, 0, states.shape[1] - found.shape[1]))
        return ((found, *args[1:]), inputs) if args else (args, {**inputs, "hidden_states": found})

    def _take(self, row: int, states: torch.Tensor) -> None:
        if row not in self._states:
            self._bytes += self._reserved(states)
        self._states.setdefault(row, []).append(states)

    def _reserved(self, states: torch.Tensor) -> int:
        """Bytes that a row is given room for: a row without all its draws is computed anew in every pass, so some would be in vain."""
        return self._draws * states.numel() * states.element_size()


def _clear(args: TrainingArguments, checkpoints: Path) -> None:
    """Deletes this process's states that no checkpoint would take up any more."""
    told = []
    for path in checkpoints.glob(f"{PREFIX}*/{_state_file(args)}"):
        with suppress(FileNotFoundError):  # another process clears old checkpoints away
            told.append(json.loads(path.read_text(encoding="utf-8")))
    needed = min((state["since"] for state in told if state["cut"]), default=None)
    for path in (checkpoints / SHELF).glob(f"{args.process_index}-*.safetensors"):
        if needed is None or int(path.stem.partition("-")[2]) < needed:
            path.unlink()


def _state_file(args: TrainingArguments) -> str:
    return f"prefix-{args.process_index}.json"


def _shard(args: TrainingArguments, step: int) -> str:
    return f"{args.process_index}-{step}.safetensors"
