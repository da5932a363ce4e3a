"""A transformers Trainer whose batches are grouped by length and cut into micro-batches of capped size.

Knows nothing of layers or importance: any callback may choose what trains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from irtuning.tuning.batches import LengthSampler, Rows, collate, micro_batches
from irtuning.tuning.device import give_back_memory

TRIM_EVERY = 5
"""Steps between two times that free memory is given back on a CPU."""


class StepTrainer(Trainer):
    """Trains on token rows; looks for a stop between micro-batches.

    Args:
        most_tokens: cap on padded tokens in one forward pass; the step stays that of the whole batch.
        check: called before each micro-batch; may raise to end the training with the unfinished step dropped.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        args: TrainingArguments,
        rows: Rows,
        pad_token_id: int,
        most_tokens: int,
        check: Callable[[], None],
        **kwargs: Any,
    ) -> None:
        self._most_tokens, self._check = most_tokens, check
        super().__init__(
            model=model,
            args=args,
            train_dataset=rows,
            # Lengths travel as plain integers: cutting the batch then costs no synchronisation with the device.
            data_collator=lambda batch: {
                **collate(batch, pad_token_id),
                "lengths": [len(row["input_ids"]) for row in batch],
            },
            **kwargs,
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthSampler:
        return LengthSampler(self.train_dataset.lengths, self.args.per_device_train_batch_size, self.args.seed)

    def training_step(
        self, model: nn.Module, inputs: dict[str, torch.Tensor], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Forward and backward of one batch in micro-batches, each weighted by its rows; the mean loss, detached."""
        model.train()
        if self.state.global_step % TRIM_EVERY == 0 and self.args.device.type == "cpu":
            give_back_memory()
        lengths: list[int] = inputs.pop("lengths")
        total = len(lengths)
        loss = torch.zeros((), device=self.args.device)
        for part in micro_batches(lengths, self._most_tokens):
            self._check()
            width = max(lengths[i] for i in part)
            micro = {key: value[part] if value.dim() == 1 else value[part, :width] for key, value in inputs.items()}
            micro = self._prepare_inputs(micro)
            with self.compute_loss_context_manager():
                share = model(**micro).loss * (len(part) / total)
            self.accelerator.backward(share / self.current_gradient_accumulation_steps)
            loss += share.detach()
        return loss / self.current_gradient_accumulation_steps

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The norm the Trainer would compute only to log it."""
        return grad_norm

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: nobody reads it."""
        return 0
