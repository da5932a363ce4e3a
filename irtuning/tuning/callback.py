"""LayerwiseCallback: at every step it chooses the layers that train, freezes the rest, measures gradients and reports.

It plugs into any transformers Trainer on any model with adapters. It knows neither corpora nor folders: what happens is
handed to `emit` as typed events.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, get_args
from weakref import WeakKeyDictionary, ref

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINING_ARGS_NAME

from irtuning.errors import ModelError
from irtuning.events import Step
from irtuning.tuning.checkpoints import folder_of, resumed_from
from irtuning.tuning.damping import losses_under_damping, refuse_undampable
from irtuning.tuning.device import memory_mib
from irtuning.tuning.hidden import CosineMeter
from irtuning.tuning.importance import clip_gradients, gradient_norms, layer_scores, weight_scores
from irtuning.tuning.layers import Layer, Snapshot, UnitKind, find_layers, frozen_norms, layer_modules, train_only
from irtuning.tuning.methods import named_policy
from irtuning.tuning.policies import Choice, FullPolicy, Policy, Stack
from irtuning.tuning.ranks import any_rank, mean_over_ranks, world_size
from irtuning.tuning.selection import Metric
from irtuning.tuning.surroundings import let_resting_layers_rest, refuse_out_of_step, refuse_unmeasurable
from irtuning.tuning.tally import Tally

MakePolicy = Callable[[Stack], Policy]
STATE = "layerwise"
"""Under which name the policy's state stands in the Trainer's own, and so in its checkpoints, wherever they are moved."""
BATCH_FILE = "layerwise-batch-{}.json"
"""What a checkpoint holds beside it: the last batch of each process, where the policy tries sets of units on it."""
_AT_WORK: WeakKeyDictionary[nn.Module, ref[LayerwiseCallback]] = WeakKeyDictionary()
"""Model -> the callback whose hooks it has; one that was interrupted never took them away."""
_log = logging.getLogger(__name__)


class LayerwiseCallback(TrainerCallback):
    """Layer-wise tuning for any Trainer.

    The model must come with its adapters trainable: the optimizer takes only what requires a gradient when it is made.
    Clipping is taken over from the Trainer, so that gradients are measured before it; the Trainer gets it back at the end.
    One transfer from the device is made a step, for scores, loss and counters together (one more for the widths of several
    processes' batches with cosine importance, and one for a rate that is a tensor). The policy's state goes into the Trainer's
    checkpoints and comes back with `resume_from_checkpoint`. A layer without adapters is not among the units; `layers` tells
    which those are.

    Args:
        policy: the name of a method (`"ir"`, `"rst"`, `"ist"`, `"full"`, `"lisa"`, `"top-k"`), or a function from the
            model's stack to a policy.
        importance: what a step's scores are: gradient, cosine or weight; the last two of whole layers only.
        unit: what is chosen: layer, block or module.
        emit: takes one `events.Step` after each optimizer step.
        on_norms: takes (step, one gradient norm an adapter tensor, -1 where there is none), in the order of `tensor_names`.
        on_choice: told before each step the lowest layer that trains in it; the number of layers where none does.

    Example:
        >>> Trainer(model=get_peft_model(model, lora), ..., callbacks=[LayerwiseCallback("ir", emit=print)]).train()

    Raises:
        ValueError: there is no such method, importance or unit, or cosine or weight are to be measured of parts of layers.
        ModelError: when training begins, if no layers or no trainable adapters are found, gradients cannot be measured there
            (`surroundings.py`), or the method damps adapters of a kind that cannot be; after the first step, if the method needs
            the model's own loss, or its layers' states, and never sees them.
    """

    def __init__(
        self,
        policy: str | MakePolicy = "ir",
        *,
        importance: Metric = "gradient",
        unit: UnitKind = "layer",
        emit: Callable[[Step], None] | None = None,
        on_norms: Callable[[int, list[float]], None] | None = None,
        on_choice: Callable[[int], None] = lambda lowest: None,
    ) -> None:
        for what, asked, known in (("importance", importance, get_args(Metric)), ("unit", unit, get_args(UnitKind))):
            if asked not in known:
                raise ValueError(f"{what} must be one of {', '.join(known)}, not {asked!r}")
        if importance != "gradient" and unit != "layer":
            raise ValueError(f"{importance} importance is measured for whole layers, not for a {unit}")
        self._make_policy = named_policy(policy, importance) if isinstance(policy, str) else policy
        self._importance, self._unit = importance, unit
        self._emit, self._on_norms, self._on_choice = emit, on_norms, on_choice
        self.layers: list[Layer] = []
        self.policy: Policy | None = None
        self._hooks: list[Any] = []
        self._tally = Tally()
        self._meter: CosineMeter | None = None

    @property
    def tensor_names(self) -> list[str]:
        """Names of the measured tensors, paths in the model."""
        return [path for layer in self.layers for path, _ in layer.parameters]

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module | None = None, **kwargs: Any
    ) -> None:
        """Undoes what a training that was interrupted left of the same model or the same arguments, before either is used again."""
        for place, held in list(_AT_WORK.items()):
            other = held()
            if other and (place is model or other._args is args):
                other.release()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any
    ) -> None:
        """Finds the layers, takes over clipping and listens to the model's losses."""
        refuse_unmeasurable(args, model)
        # A training that was interrupted never told its end.
        self.release()
        self.layers = find_layers(model, self._unit)
        _, modules = layer_modules(model)
        self._model = model
        self.policy = self._make_policy(
            Stack(
                depth=tuple(layer.depth for layer in self.layers),
                layers=len(modules),
                parameters=tuple(layer.size for layer in self.layers),
                weight_norms=lambda: frozen_norms(model, self.layers),
                steps=state.max_steps,
                seed=args.seed,
            )
        )
        if self.policy.tries:
            refuse_undampable(model, self.layers)
        if not isinstance(self.policy, FullPolicy):
            refuse_out_of_step(args, model)
        self._depth = len(modules)
        self._parameters = [p for layer in self.layers for _, p in layer.parameters]
        self._owners = [layer.index for layer in self.layers for _ in layer.parameters]
        self._trainable = [p for p in model.parameters() if p.requires_grad]
        self._snapshot = Snapshot(self.layers)
        # Of whole layers only, so each unit is the layer at its depth.
        measured = [modules[layer.depth] for layer in self.layers]
        if self._importance == "weight":
            self._static = weight_scores(measured)
            self.policy.observe(self._static)
        self._choice, self._tally = Choice(()), Tally()
        self._resume(args, state)
        # What must be undone comes last, when nothing can fail any more.
        if self._importance == "cosine":
            self._meter = CosineMeter(model, measured)
        self._args, self._asked_clip = args, args.max_grad_norm
        self._clip_to, args.max_grad_norm = args.max_grad_norm or 0.0, 0.0
        self._hooks = [
            model.register_forward_pre_hook(self._freeze),
            model.register_forward_hook(self._listen, with_kwargs=True),
        ]
        _AT_WORK[model] = ref(self)
        let_resting_layers_rest(model)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Chooses the layers of this step and freezes the others."""
        self._began = time.perf_counter()
        # Where one process lacks a batch, as after a resume with more of them, none may try: all exchange what they find.
        if self.policy.tries and not any_rank(not self._tally.seen) and (sets := self.policy.probes()):
            self.policy.reward(losses_under_damping(self._model, self.layers, sets, self._tally.seen))
        self._tally = Tally()
        if self._meter:
            self._meter.reset()
        self._choice = self.policy.choose()
        train_only(self.layers, self._choice.layers)
        self._on_choice(min((self.layers[u].depth for u in self._choice.layers), default=self._depth))

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measures the accumulated gradients, then clips them."""
        self._norms = gradient_norms(self._parameters)
        if self._clip_to > 0:
            # Over all that was trainable at the start: tensors without a gradient add nothing to the norm.
            clip_gradients(self._trainable, self._clip_to)
        self._snapshot.take()

    def on_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        lr_scheduler: Any = None,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Compares the adapters' bits with those before the step, before the scheduler moves the rate."""
        if getattr(optimizer, "step_was_skipped", False):
            # In float16 a gradient was too large, and the Trainer has made all of them NaN: nothing was measured.
            self._norms = torch.full_like(self._norms, -1.0)
        self._moved = self._snapshot.moved()
        rates = lr_scheduler.get_last_lr() if lr_scheduler is not None else [0.0]
        self._rate = float(rates[0])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Brings everything over in one transfer, tells the policy, reports the step."""
        count, layers = len(self._parameters), len(self.layers)
        if self.policy.tries and not self._tally.seen:
            raise ModelError(
                "This method tries layers on the model's own loss, and the model was never given labels.",
                "Leave the labels in the model's inputs, or choose ir, rst or lisa.",
            )
        parts = [self._norms, self._moved]
        if self._meter:
            parts.append(self._meter.scores())
        told = self._tally.sums
        if told:
            parts.append(mean_over_ranks(torch.stack([part.type(self._norms.dtype) for part in told])))
        numbers: list[float] = torch.cat([part.type(self._norms.dtype) for part in parts]).tolist()
        norms, moved, rest = numbers[:count], numbers[count : count + layers], numbers[count + layers :]
        loss, tokens = self._tally.read(rest[len(rest) - len(told) :], world_size())
        scores = self._scores(norms, rest)
        if self._meter and not any(score is not None for score in scores):
            raise ModelError(
                "Cosine importance listens to the model's layers, and nothing was heard from them in this step.",
                "Call the model itself in compute_loss, train without torch_compile, or choose gradient importance.",
            )
        self.policy.observe(scores)
        state.stateful_callbacks[STATE] = {"of": self._kind(), "state": self.policy.state_dict()}
        if self._on_norms:
            self._on_norms(state.global_step, norms)
        if self._emit:
            self._emit(
                Step(
                    step=state.global_step,
                    epoch=round(float(state.epoch or 0.0), 4),
                    loss=loss,
                    learning_rate=self._rate,
                    scores=scores,
                    selected=list(self._choice.layers),
                    moved=[i for i, flag in enumerate(moved) if flag],
                    split=list(self._choice.split) if self._choice.split else None,
                    seconds=round(time.perf_counter() - self._began, 4),
                    tokens=tokens,
                    memory_mib=memory_mib(self._parameters[0].device.type),
                )
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Puts the batch that units are tried on beside the Trainer's own files, and the asked clipping into what it kept of its
        arguments."""
        folder = folder_of(args, state)
        if state.is_world_process_zero and (kept := folder / TRAINING_ARGS_NAME).is_file():
            asked = copy(args)
            asked.max_grad_norm = self._asked_clip
            torch.save(asked, kept)
        if folder.is_dir() and self.policy.tries and self._tally.seen:
            batch = [
                {"weight": float(weight), "inputs": {k: v.tolist() for k, v in inputs.items() if isinstance(v, torch.Tensor)}}
                for inputs, weight in self._tally.seen
            ]
            (folder / BATCH_FILE.format(args.process_index)).write_text(json.dumps(batch), encoding="utf-8")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Gives clipping back and leaves the model with all adapters trainable, as it came."""
        self.release()

    def release(self) -> None:
        """Undoes what `on_train_begin` did; safe to call again, and for a training that ended in an exception."""
        if not self._hooks:
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._tally = [], Tally()
        if self._meter:
            self._meter.remove()
            self._meter = None
        self._args.max_grad_norm = self._asked_clip
        _AT_WORK.pop(self._model, None)
        train_only(self.layers, range(len(self.layers)))
        # The callback may be kept for longer than the model.
        del self._model, self._args, self._trainable, self._snapshot

    def _scores(self, norms: list[float], rest: list[float]) -> list[float | None]:
        if self._importance == "weight":
            return list(self._static)
        if self._importance == "cosine":
            return [value if value == value else None for value in rest[: len(self.layers)]]
        return layer_scores(norms, self._owners, len(self.layers))

    def _resume(self, args: TrainingArguments, state: TrainerState) -> None:
        if not state.global_step:
            return
        kept = state.stateful_callbacks.get(STATE) or {}
        if kept.get("of") == self._kind():
            self.policy.load_state_dict(kept["state"])
        else:
            _log.warning("The checkpoint holds no state of this method on these units: it begins anew, with no score measured.")
        if path := resumed_from(args, state, BATCH_FILE.format(args.process_index)):
            device = self._parameters[0].device
            for part in json.loads(path.read_text(encoding="utf-8")):
                inputs = {key: torch.tensor(value, device=device) for key, value in part["inputs"].items()}
                self._tally.seen.append((inputs, torch.tensor(part["weight"], device=device)))
        elif self.policy.tries:
            _log.warning("The checkpoint's batch to try layers on is not found: a trial that is due in the first step is left out.")

    def _kind(self) -> list[Any]:
        """What a policy's state belongs to: the policy with those it wraps, and the units it chooses from."""
        wrapped, policy = [], self.policy
        while policy is not None:
            wrapped.append(type(policy).__name__)
            policy = getattr(policy, "_inner", None)
        return [wrapped, self._unit, len(self.layers)]

    def remember(self) -> tuple[Tally, Any]:
        """What was counted so far of this step, for `rewind`."""
        return self._tally.copy(), self._meter.mark() if self._meter else None

    def rewind(self, mark: tuple[Tally, Any]) -> None:
        """Forgets what was counted since `remember`: a batch is computed again."""
        self._tally = mark[0].copy()
        if self._meter:
            self._meter.rewind(mark[1])

    def disregard(self, mark: tuple[Tally, Any]) -> None:
        """Forgets what was counted since `remember`, of a row that only keeps this process in step with others."""
        self._tally = self._tally.without_what_came_after(mark[0])
        if self._meter:
            self._meter.disregard(mark[1])

    def _freeze(self, model: nn.Module, args: Sequence[Any]) -> None:
        """Freezes again what `disable_adapter` has thawed on its way out, e.g. around a reference pass within the step."""
        if model.training:
            train_only(self.layers, self._choice.layers)

    def _listen(self, model: nn.Module, args: Sequence[Any], inputs: dict[str, Any], output: Any) -> None:
        """Counts each training micro-batch."""
        if model.training:
            self._tally.take(inputs, output, self._model, keep=self.policy.tries)
