"""Adapters: puts LoRA, DoRA or bottlenecks into a model's layers, saves them with the head, loads them again.

Knows neither texts nor training. Which modules get an adapter is found in the layers themselves.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors import SafetensorError
from torch import nn
from transformers.pytorch_utils import Conv1D

from irtuning.config import RunConfig
from irtuning.errors import AdapterError, ModelError
from irtuning.tuning.bottleneck import BottleneckConfig
from irtuning.tuning.device import out_of_memory
from irtuning.tuning.fused import fuse_lora
from irtuning.tuning.layers import layer_modules
from irtuning.tuning.projections import in_adapter, is_adapted


def target_modules(model: nn.Module) -> str:
    """A regular expression, matched in full, of the modules that get an adapter: q, k, v, up and down of every layer.

    A family whose names are not known gets an adapter on every linear module of its layers. Layers may differ from one another.
    """
    path, layers = layer_modules(model)
    linear = {name: None for layer in layers for name, module in layer.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    if not linear:
        raise ModelError("The layers of this model have no linear modules to adapt.", "Choose another model.")

    chosen = [name for name in linear if is_adapted(name)] or list(linear)
    return rf".*{re.escape(path)}\.\d+\.({'|'.join(re.escape(name) for name in chosen)})"


def head_modules(model: nn.Module) -> list[str]:
    """Modules outside the layers that train in full and are saved: the classification head, with the encoder's pooler."""
    names = [name for name, _ in model.named_children() if name in ("score", "classifier", "head", "pre_classifier")]
    if any(name.endswith(".pooler") or name == "pooler" for name, _ in model.named_modules()):
        names.append("pooler")
    if not names:
        raise ModelError("This model has no classification head that is known here.", "Choose another model.")
    return names


def add_adapter(model: nn.Module, config: RunConfig) -> PeftModel:
    """The model with the adapters of a resolved config in every layer; they and the head train in float32, all else is frozen.

    Raises:
        ModelError: it has no single stack of layers, no classification head, or none that adapters can be put into.
    """
    shared = {
        "task_type": TaskType.SEQ_CLS,
        "target_modules": target_modules(model),
        "modules_to_save": head_modules(model),
    }
    if config.adapter_name == "bottleneck":
        wanted = BottleneckConfig(width=config.bottleneck_width, **shared)
    else:
        wanted = LoraConfig(
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            use_dora=config.adapter_name == "dora",
            **shared,
        )
    try:
        return _ready(get_peft_model(model, wanted))
    except ValueError as error:
        raise ModelError(
            f"peft cannot put {config.adapter_name} adapters into this model.", "Choose another model or another adapter."
        ) from error


def _ready(model: PeftModel) -> PeftModel:
    """Adapters and head in float32, whatever the numbers of the frozen model, products in one operation."""
    for name, parameter in model.named_parameters():
        if _trains(name):
            parameter.data = parameter.data.to(torch.float32)
    fuse_lora(model)
    return model


def _trains(name: str) -> bool:
    """Whether a parameter belongs to an adapter or to a module that trains in full."""
    return in_adapter(name) or "modules_to_save" in name


def trainable_state(model: PeftModel) -> dict[str, torch.Tensor]:
    """A copy on the CPU of adapters and head, by parameter name."""
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters() if _trains(name)}


@torch.no_grad()
def restore_state(model: PeftModel, state: dict[str, torch.Tensor]) -> None:
    """Puts a copy that `trainable_state` made back into the model."""
    parameters = dict(model.named_parameters())
    for name, value in state.items():
        parameters[name].copy_(value)


def save_adapter(model: PeftModel, tokenizer: Any, folder: Path, base_id: str) -> None:
    """Writes adapter, head and tokenizer, with the base named by `base_id` and no path of this machine."""
    for config in model.peft_config.values():
        config.base_model_name_or_path = base_id
        config.inference_mode = True
    model.save_pretrained(folder, save_embedding_layers=False, safe_serialization=True)
    tokenizer.name_or_path = base_id
    tokenizer.save_pretrained(folder)


def load_adapter(model: nn.Module, folder: Path) -> PeftModel:
    """The base model with the adapter and head of a folder, ready to predict.

    Raises:
        AdapterError: the folder holds no adapter, or one of another model.
    """
    if not (folder / "adapter_model.safetensors").is_file() or not (folder / "adapter_config.json").is_file():
        raise AdapterError(f"There is no adapter in {folder.name!r}.", "Choose a folder that a finished run has saved.")
    try:
        loaded = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    except (RuntimeError, ValueError, KeyError, OSError, SafetensorError) as error:
        if out_of_memory(error):
            raise
        raise AdapterError(
            f"The adapter in {folder.name!r} does not fit its base model, or its file is damaged.",
            "Train it again, or choose another adapter.",
        ) from error
    return _ready(loaded).eval()
