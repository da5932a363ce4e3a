"""LayerwiseCallback: at every step it chooses the layers that train, freezes the rest, measures gradients and reports.

It plugs into any transformers Trainer on any model with adapters. It knows neither corpora nor folders: what happens is
handed to `emit` as typed events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from irtuning.events import Step
from irtuning.tuning.checkpoints import folder_of, resumed_from
from irtuning.tuning.damping import losses_under_damping
from irtuning.tuning.device import memory_mib
from irtuning.tuning.hidden import CosineMeter
from irtuning.tuning.importance import clip_gradients, gradient_norms, layer_scores, weight_scores
from irtuning.tuning.layers import Layer, Snapshot, UnitKind, find_layers, frozen_norms, layer_modules, train_only
from irtuning.tuning.methods import named_policy
from irtuning.tuning.policies import Choice, Policy, Stack
from irtuning.tuning.ranks import mean_over_ranks, world_size
from irtuning.tuning.selection import Metric

MakePolicy = Callable[[Stack], Policy]
STATE_FILE = "layerwise.json"
"""What a checkpoint of the Trainer holds beside its own files: the policy's state."""
BATCH_FILE = "layerwise-batch-{}.json"
"""And the last batch of each process, where the policy tries sets of units on it."""


class LayerwiseCallback(TrainerCallback):
    """Layer-wise tuning for any Trainer.

    The model must come with its adapters trainable: the optimizer takes only what requires a gradient when it is made.
    Clipping is taken over from the Trainer, so that gradients are measured before it; the Trainer gets it back at the end.
    One transfer from the device is made a step, for scores, loss and counters together. The policy's state goes into the
    Trainer's checkpoints and comes back with `resume_from_checkpoint`.

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
        ValueError: there is no such method, or cosine or weight are to be measured of parts of layers.
        ModelError: when training begins, if no layers or no trainable adapters are found.
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
        if importance != "gradient" and unit != "layer":
            raise ValueError(f"{importance} importance is measured for whole layers, not for a {unit}")
        self._make_policy = named_policy(policy, importance) if isinstance(policy, str) else policy
        self._importance, self._unit = importance, unit
        self._emit, self._on_norms, self._on_choice = emit, on_norms, on_choice
        self.layers: list[Layer] = []
        self.policy: Policy | None = None
        self._hook: Any = None
        self._meter: CosineMeter | None = None

    @property
    def tensor_names(self) -> list[str]:
        """Names of the measured tensors, paths in the model."""
        return [path for layer in self.layers for path, _ in layer.parameters]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any
    ) -> None:
        """Finds the layers, takes over clipping and listens to the model's losses."""
        self.layers = find_layers(model, self._unit)
        _, modules = layer_modules(model)
        self._model = model
        self.policy = self._make_policy(
            Stack(
                depth=tuple(layer.depth for layer in self.layers),
                layers=len(modules),
                parameters=tuple(sum(p.numel() for _, p in layer.parameters) for layer in self.layers),
                weight_norms=lambda: frozen_norms(model, self.layers),
                steps=state.max_steps,
            )
        )
        self._depth = len(modules)
        self._parameters = [p for layer in self.layers for _, p in layer.parameters]
        self._owners = [layer.index for layer in self.layers for _ in layer.parameters]
        self._trainable = [p for p in model.parameters() if p.requires_grad]
        self._snapshot = Snapshot(self.layers)
        self._clip_to, args.max_grad_norm = args.max_grad_norm or 0.0, 0.0
        self._hook = model.register_forward_hook(self._listen, with_kwargs=True)
        if self._importance == "cosine":
            self._meter = CosineMeter(model, list(modules))
        if self._importance == "weight":
            self._static = weight_scores(modules)
            self.policy.observe(self._static)
        self._choice = Choice(())
        self._seen: dict[str, Any] | None = None
        self._reset()
        self._resume(args, state)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Chooses the layers of this step and freezes the others."""
        self._began = time.perf_counter()
        if self._seen is not None and (sets := self.policy.probes()):
            self.policy.reward(losses_under_damping(self._model, self.layers, sets, self._seen))
        self._reset()
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
        **kwargs: Any,
    ) -> None:
        """Compares the adapters' bits with those before the step, before the scheduler moves the rate."""
        self._moved = self._snapshot.moved()
        rates = lr_scheduler.get_last_lr() if lr_scheduler is not None else [0.0]
        self._rate = float(rates[0]) if not isinstance(rates[0], torch.Tensor) else 0.0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Brings everything over in one transfer, tells the policy, reports the step."""
        count, layers = len(self._parameters), len(self.layers)
        parts = [self._norms, self._moved]
        if self._meter:
            parts.append(mean_over_ranks(self._meter.scores()))
        if self._rows:
            told = torch.stack([self._loss, self._tokens.type_as(self._loss), torch.full_like(self._loss, self._rows)])
            parts.append(mean_over_ranks(told))
        numbers: list[float] = torch.cat([part.type(self._norms.dtype) for part in parts]).tolist()
        norms, moved, rest = numbers[:count], numbers[count : count + layers], numbers[count + layers :]
        scores = self._scores(norms, rest)
        self.policy.observe(scores)
        if self._on_norms:
            self._on_norms(state.global_step, norms)
        if self._emit:
            self._emit(
                Step(
                    step=state.global_step,
                    epoch=round(float(state.epoch or 0.0), 4),
                    loss=rest[-3] / rest[-1] if self._rows else None,
                    learning_rate=self._rate,
                    scores=scores,
                    selected=list(self._choice.layers),
                    moved=[i for i, flag in enumerate(moved) if flag],
                    split=list(self._choice.split) if self._choice.split else None,
                    seconds=round(time.perf_counter() - self._began, 4),
                    tokens=round(rest[-2] * world_size()) if self._rows else 0,
                    memory_mib=memory_mib(self._parameters[0].device.type),
                )
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Puts the policy's state beside the Trainer's own files."""
        folder = folder_of(args, state)
        if not folder.is_dir():
            return
        if state.is_world_process_zero:
            (folder / STATE_FILE).write_text(json.dumps(self.policy.state_dict()), encoding="utf-8")
        if self.policy.tries and self._seen is not None:
            batch = {key: value.tolist() for key, value in self._seen.items() if isinstance(value, torch.Tensor)}
            (folder / BATCH_FILE.format(args.process_index)).write_text(json.dumps(batch), encoding="utf-8")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Gives clipping back and leaves the model with all adapters trainable, as it came."""
        self.release(args)

    def release(self, args: TrainingArguments) -> None:
        """Undoes what `on_train_begin` did; safe to call again, and for a training that ended in an exception."""
        if self.layers and self._hook is not None:
            self._hook.remove()
            self._hook = None
            self._seen = None
            if self._meter:
                self._meter.remove()
                self._meter = None
            args.max_grad_norm = self._clip_to
            train_only(self.layers, range(len(self.layers)))

    def _scores(self, norms: list[float], rest: list[float]) -> list[float | None]:
        if self._importance == "weight":
            return list(self._static)
        if self._importance == "cosine":
            return [value if value == value else None for value in rest[: len(self.layers)]]
        return layer_scores(norms, self._owners, len(self.layers))

    def _resume(self, args: TrainingArguments, state: TrainerState) -> None:
        if path := resumed_from(args, state, STATE_FILE):
            self.policy.load_state_dict(json.loads(path.read_text(encoding="utf-8")))
        if path := resumed_from(args, state, BATCH_FILE.format(args.process_index)):
            device = self._parameters[0].device
            told = json.loads(path.read_text(encoding="utf-8"))
            self._seen = {key: torch.tensor(value, device=device) for key, value in told.items()}

    def remember(self) -> tuple[Any, ...]:
        """What was counted so far of this step, for `rewind`."""
        return self._loss, self._tokens, self._rows, self._meter.mark() if self._meter else None

    def rewind(self, mark: tuple[Any, ...]) -> None:
        """Forgets what was counted since `remember`: a batch is computed again."""
        self._loss, self._tokens, self._rows, meter = mark
        if self._meter:
            self._meter.rewind(meter)

    def _reset(self) -> None:
        self._loss: torch.Tensor | None = None
        self._tokens: torch.Tensor | None = None
        self._rows = 0
        if self._meter:
            self._meter.reset()

    def _listen(self, model: nn.Module, args: Sequence[Any], inputs: dict[str, Any], output: Any) -> None:
        """Adds up loss and tokens of each training micro-batch, weighted by its rows, without leaving the device."""
        loss = getattr(output, "loss", None)
        if loss is None or not model.training:
            return
        labels, mask = inputs.get("labels"), inputs.get("attention_mask")
        rows = len(labels) if labels is not None else 1
        weighted = loss.detach() * rows
        tokens = mask.sum() if mask is not None else torch.zeros_like(weighted)
        first = self._loss is None
        self._loss = weighted if first else self._loss + weighted
        self._tokens = tokens if first else self._tokens + tokens
        self._rows += rows
        self._seen = inputs
