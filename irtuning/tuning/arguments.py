"""The Trainer's arguments for a run: what a resolved config means to transformers. Knows no model and no corpus."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

from transformers import TrainingArguments

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.errors import ConfigError
from irtuning.tuning.device import Device
from irtuning.tuning.ranks import world_size

CHECKPOINTS_KEPT = 2
REPORTERS = {"wandb": "wandb", "tensorboard": "tensorboard", "trackio": "trackio"}
"""Value of `report_to` -> the package it needs."""


def arguments(
    config: RunConfig, device: Device, steps: int, checkpoints: Path | None = None, resume_from: Path | None = None
) -> TrainingArguments:
    """The Trainer's arguments for a resolved config: the Trainer evaluates nothing itself and saves only to resume.

    Raises:
        ConfigError: what reports are to go to is not installed.
    """
    reporter = config.report_to if config.report_to != "none" else None
    if reporter and importlib.util.find_spec(REPORTERS[reporter]) is None:
        raise ConfigError(
            f"Reports to {reporter} need its package, which is not installed.", f"Bring it with: pip install {reporter}"
        )
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
        logging_strategy="steps" if reporter else "no",
        logging_steps=config.logging_steps,
        logging_nan_inf_filter=False,
        save_strategy="steps" if saves else "no",
        save_steps=config.save_steps or 1,
        save_total_limit=CHECKPOINTS_KEPT,
        resume_from_checkpoint=str(resume_from) if resume_from else None,
        eval_strategy="no",
        report_to=reporter or "none",
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
