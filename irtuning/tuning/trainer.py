"""A transformers Trainer whose batches are computed in parts of similar length and capped size.

Knows nothing of layers or importance: any callback may choose what trains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Trainer, TrainingArguments

from irtuning.errors import BREAKS
from irtuning.tuning.adapters import restore_state, trainable_state
from irtuning.tuning.batches import Deal, Rows, collate, micro_batches
from irtuning.tuning.checkpoints import WEIGHTS
from irtuning.tuning.device import give_back_memory, out_of_memory
from irtuning.tuning.dropping import QuickDropout, drops
from irtuning.tuning.passes import Passes

TRIM_EVERY = 25
"""Steps between two times that free memory is given back on a CPU."""


class StepTrainer(Trainer):
    """Trains on token rows; looks for a stop between micro-batches, and halves them where the memory runs out.

    Args:
        most_tokens: cap on padded tokens in one forward pass; the step stays that of the whole batch.
        passes: what passes cost here, by which batches are cut.
        check: called before each micro-batch; may raise to end the training with the unfinished step dropped.
        around: what each forward and backward pass runs in, told the rows' indices and lengths.
        remember, rewind: take and restore what others counted of a batch, for one that is computed again.
        disregard: as rewind, for a batch that counts for nothing.
        notify: takes a sentence for the user.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        args: TrainingArguments,
        rows: Rows,
        pad_token_id: int,
        most_tokens: int,
        passes: Passes,
        check: Callable[[], None],
        around: Callable[[Sequence[int], Sequence[int]], AbstractContextManager[None]] = lambda rows, lengths: nullcontext(),
        remember: Callable[[], Any] = lambda: None,
        rewind: Callable[[Any], None] = lambda mark: None,
        disregard: Callable[[Any], None] = lambda mark: None,
        notify: Callable[[str], None] = lambda text: None,
        **kwargs: Any,
    ) -> None:
        self._most_tokens, self._check, self._around = most_tokens, check, around
        self._remember, self._rewind, self._disregard, self._notify = remember, rewind, disregard, notify
        self._computing = (0, 0)
        self._price, self._grain = passes.price, passes.grain
        super().__init__(
            model=model,
            args=args,
            train_dataset=rows,
            # Lengths travel as plain integers: cutting the batch then costs no synchronisation with the device.
            data_collator=lambda batch: {
                **collate(batch, pad_token_id, self._grain),
                "lengths": [len(row["input_ids"]) for row in batch],
                "rows": [row["row"] for row in batch],
                "share": batch.weight,
                "whole": batch.whole,
            },
            **kwargs,
        )
        self._drops_quickly = self.args.device.type == "cpu" and not self.args.activation_checkpointing and drops(model.modules())

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        """This process's share of each batch; dealt here, so that several processes see the batches that one would."""
        deal = Deal(
            self.train_dataset.lengths,
            self.args.per_device_train_batch_size,
            self.args.seed,
            ranks=self.args.world_size,
            rank=self.args.process_index,
        )
        return DealtLoader(
            self.train_dataset,
            batch_sampler=deal,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """The batches of one step; how many rows they hold together is what each of them is weighed by."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._rows_a_step = sum(batch["whole"] for batch in batches)
        return batches, items

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Forward and backward of one batch in micro-batches, each weighted by its rows; the mean loss, detached."""
        model.train()
        if self.state.global_step % TRIM_EVERY == 0 and self.args.device.type == "cpu":
            give_back_memory()
        # Several processes go on together or not at all: theirs are never needed again.
        again = self.current_gradient_accumulation_steps > 1 and self.args.world_size == 1
        accumulated = model.parameters() if again else ()
        earlier = [(p, p.grad.clone()) for p in accumulated if p.grad is not None]
        mark = self._remember()
        while True:
            try:
                loss = self._in_parts(model, dict(inputs))
                if not inputs["share"]:
                    self._disregard(mark)
                return loss
            except BREAKS as error:
                self._halve(error)
            model.zero_grad(set_to_none=True)
            for parameter, gradient in earlier:
                parameter.grad = gradient.clone()
            self._rewind(mark)

    def _in_parts(self, model: nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        lengths: list[int] = inputs.pop("lengths")
        indices: list[int] = inputs.pop("rows")
        weight = inputs.pop("share") * inputs.pop("whole") / self._rows_a_step
        total = len(lengths)
        loss = torch.zeros((), device=self.args.device)
        parts = micro_batches(lengths, self._most_tokens, self._price, self._grain)
        for place, part in enumerate(parts):
            self._check()
            width = self._grain.width(max(lengths[i] for i in part))
            self._computing = (len(part), width)
            micro = {key: value[part] if value.dim() == 1 else value[part, :width] for key, value in inputs.items()}
            micro = self._on_device(micro)
            # Of several processes, gradients are exchanged once a batch, with its last part.
            last = place == len(parts) - 1
            with (
                nullcontext() if last else self.accelerator.no_sync(model),
                # Around the backward pass, too: activations may be computed again in it.
                self._around([indices[i] for i in part], [lengths[i] for i in part]),
            ):
                with self.compute_loss_context_manager(), QuickDropout() if self._drops_quickly else nullcontext():
                    share = model(**micro).loss * (len(part) / total)
                self.accelerator.backward(share * weight)
            loss += share.detach()
        return loss * weight

    def _on_device(self, micro: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """A micro-batch where the model is; from pinned memory to a GPU, so that the host need not wait for the copy."""
        if self.args.device.type != "cuda":
            return self._prepare_inputs(micro)
        return {key: value.pin_memory().to(self.args.device, non_blocking=True) for key, value in micro.items()}

    def _halve(self, error: Exception) -> None:
        """Goes on with micro-batches of half the size of the one that was too large.

        Raises:
            the error itself: it is another one, one row alone is too much, or other processes would wait for this one.
        """
        rows, width = self._computing
        if not out_of_memory(error) or rows < 2 or self.args.world_size > 1:
            raise error
        self._most_tokens = rows * width // 2
        give_back_memory(self.args.device.type)
        self._notify(
            f"The memory ran out: from here on at most {self._most_tokens} tokens are computed at once; the step stays the same."
        )

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Adapters and head alone, as they are: peft's own way would ask the hub about embeddings."""
        if not self.args.should_save:
            return
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(trainable_state(self.model), folder / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        restore_state(self.model, load_file(Path(resume_from_checkpoint) / WEIGHTS))

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The norm the Trainer would compute only to log it."""
        return grad_norm

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: nobody reads it."""
        return 0


class DealtLoader(torch.utils.data.DataLoader):
    """A loader whose batches are dealt anew each epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose batches come next."""
        self.batch_sampler.set_epoch(epoch)
