"""The Trainer's arguments for a run: what a resolved config means to transformers. Knows no model and no corpus."""

from __future__ import annotations

import tempfile
from pathlib import Path

from transformers import TrainingArguments

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.tuning.device import Device
from irtuning.tuning.ranks import world_size
from irtuning.tuning.reporting import PROJECT

CHECKPOINTS_KEPT = 2


def arguments(
    config: RunConfig, device: Device, steps: int, checkpoints: Path | None = None, resume_from: Path | None = None
) -> TrainingArguments:
    """The Trainer's arguments for a resolved config: the Trainer evaluates nothing itself and saves only to resume."""
    saves = bool(checkpoints and config.save_steps)
    made = TrainingArguments(
        # It is made where it is not there; without checkpoints nothing is written to it.
        output_dir=str(checkpoints or tempfile.gettempdir()),
        max_steps=steps,
        per_device_train_batch_size=config.per_device_train_batch_size // world_size(),
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup_steps=warmup(config.warmup_steps, steps),
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch_fused",
        lr_scheduler_type="linear",
        seed=config.seed,
        bf16=device.dtype == "bfloat16",
        use_cpu=device.device == "cpu",
        logging_strategy="no" if config.report_to == "none" else "steps",
        logging_steps=config.logging_steps,
        logging_nan_inf_filter=False,
        save_strategy="steps" if saves else "no",
        save_steps=config.save_steps or 1,
        save_total_limit=CHECKPOINTS_KEPT,
        resume_from_checkpoint=str(resume_from) if resume_from else None,
        eval_strategy="no",
        # Who reports is made apart, where a start that fails can be told of.
        report_to="none",
        project=PROJECT,
        run_name=checkpoints.parent.name if checkpoints else None,
        disable_tqdm=True,
        dataloader_pin_memory=device.device == "cuda",
        remove_unused_columns=False,
        activation_checkpointing=bool(config.gradient_checkpointing),
        activation_checkpointing_kwargs={"use_reentrant": False},
        # Which adapters get a gradient changes with every step.
        ddp_find_unused_parameters=True,
    )
    # Several GPUs are trained on by as many processes. One process that sees them all would be given DataParallel, whose
    # replicas neither our micro-batches nor the callback's measuring could stand.
    made._n_gpu = min(1, made.n_gpu)
    # A run computes in the numbers that it tells of, whatever `accelerate launch` was set to; scaled gradients, as in fp16, would
    # be measured and clipped as they are.
    made.mixed_precision = "bf16" if made.bf16 else "no"
    return made


def warmup(asked: int | None, steps: int) -> int:
    """Steps in which the learning rate rises: as asked, else an eighth of the run's, and never more than the paper's 100."""
    return min(asked, steps) if asked is not None else min(steps // 8, catalogue.PAPER["warmup_steps"])
