"""LayerwiseCallback: at every step it chooses the layers that train, freezes the rest, measures gradients and reports.

It plugs into any transformers Trainer on any model with adapters. It knows neither corpora nor folders: what happens is
handed to `emit` as typed events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from irtuning.events import Step
from irtuning.tuning.device import memory_mib
from irtuning.tuning.importance import clip_gradients, gradient_norms, layer_scores
from irtuning.tuning.layers import Layer, Snapshot, find_layers, train_only
from irtuning.tuning.policies import Choice, FullPolicy, IRPolicy, Policy

MakePolicy = Callable[[int], Policy]


class LayerwiseCallback(TrainerCallback):
    """Layer-wise tuning for any Trainer.

    The model must come with its adapters trainable: the optimizer takes only what requires a gradient when it is made.
    Clipping is taken over from the Trainer, so that gradients are measured before it; the Trainer gets it back at the end.
    One transfer from the device is made a step, for scores, loss and counters together.

    Args:
        policy: `"ir"`, `"full"`, or a function from the number of layers to a policy.
        emit: takes one `events.Step` after each optimizer step.
        on_norms: takes (step, one gradient norm an adapter tensor, -1 where there is none), in the order of `tensor_names`.

    Example:
        >>> Trainer(model=get_peft_model(model, lora), ..., callbacks=[LayerwiseCallback("ir", emit=print)]).train()

    Raises:
        ModelError: when training begins, if no layers or no trainable adapters are found.
    """

    def __init__(
        self,
        policy: str | MakePolicy = "ir",
        *,
        emit: Callable[[Step], None] | None = None,
        on_norms: Callable[[int, list[float]], None] | None = None,
    ) -> None:
        named: dict[str, MakePolicy] = {"ir": IRPolicy, "full": FullPolicy}
        if isinstance(policy, str) and policy not in named:
            raise ValueError(f"policy must be one of {', '.join(named)} or a function, not {policy!r}")
        self._make_policy = named[policy] if isinstance(policy, str) else policy
        self._emit, self._on_norms = emit, on_norms
        self.layers: list[Layer] = []
        self.policy: Policy | None = None

    @property
    def tensor_names(self) -> list[str]:
        """Names of the measured tensors, `layer path.tensor path`."""
        return [f"{layer.name}.{path}" for layer in self.layers for path, _ in layer.parameters]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any
    ) -> None:
        """Finds the layers, takes over clipping and listens to the model's losses."""
        self.layers = find_layers(model)
        self.policy = self._make_policy(len(self.layers))
        self._parameters = [p for layer in self.layers for _, p in layer.parameters]
        self._owners = [layer.index for layer in self.layers for _ in layer.parameters]
        self._trainable = [p for p in model.parameters() if p.requires_grad]
        self._snapshot = Snapshot(self.layers)
        self._clip_to, args.max_grad_norm = args.max_grad_norm or 0.0, 0.0
        self._hook = model.register_forward_hook(self._listen, with_kwargs=True)
        self._choice = Choice(())
        self._reset()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Chooses the layers of this step and freezes the others."""
        self._began = time.perf_counter()
        self._reset()
        self._choice = self.policy.choose()
        train_only(self.layers, self._choice.layers)

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
        losses = [self._loss, self._tokens] if self._rows else []
        packed = torch.cat([self._norms, self._moved.type(self._norms.dtype), *(t.reshape(1) for t in losses)])
        numbers: list[float] = packed.tolist()
        count, layers = len(self._parameters), len(self.layers)
        norms, moved, rest = numbers[:count], numbers[count : count + layers], numbers[count + layers :]
        scores = layer_scores(norms, self._owners, layers)
        self.policy.observe(scores)
        if self._on_norms:
            self._on_norms(state.global_step, norms)
        if self._emit:
            self._emit(
                Step(
                    step=state.global_step,
                    epoch=round(float(state.epoch or 0.0), 4),
                    loss=rest[0] / self._rows if rest else None,
                    learning_rate=self._rate,
                    scores=scores,
                    selected=list(self._choice.layers),
                    moved=[i for i, flag in enumerate(moved) if flag],
                    split=list(self._choice.split) if self._choice.split else None,
                    seconds=round(time.perf_counter() - self._began, 4),
                    tokens=int(rest[1]) if rest else 0,
                    memory_mib=memory_mib(self._parameters[0].device.type),
                )
            )

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
            args.max_grad_norm = self._clip_to
            train_only(self.layers, range(len(self.layers)))

    def _reset(self) -> None:
        self._loss: torch.Tensor | None = None
        self._tokens: torch.Tensor | None = None
        self._rows = 0

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
