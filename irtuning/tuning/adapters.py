"""Adapters: puts LoRA into a model's layers, saves it with the head, loads it again.

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

from irtuning.errors import AdapterError, ModelError
from irtuning.tuning.fused import fuse_lora
from irtuning.tuning.layers import layer_modules

ATTENTION = (
    "q_proj",
    "k_proj",
    "v_proj",
    "query",
    "key",
    "value",
    "q_lin",
    "k_lin",
    "v_lin",
    "query_proj",
    "key_proj",
    "value_proj",
    "query_key_value",
    "qkv_proj",
    "c_attn",
    "Wqkv",
)
"""Names that families give to the projections of query, key and value."""
MLP = (
    "up_proj",
    "down_proj",
    "gate_up_proj",
    "fc1",
    "fc2",
    "lin1",
    "lin2",
    "dense_h_to_4h",
    "dense_4h_to_h",
    "c_fc",
    "mlp.c_proj",
    "mlp.Wi",
    "mlp.Wo",
    "intermediate.dense",
    "output.dense",
)
"""Names that families give to the projections up and down of the MLP."""


def target_modules(model: nn.Module) -> str:
    """A regular expression, matched in full, of the modules that get an adapter: q, k, v, up and down of every layer.

    A family whose names are not known gets an adapter on every linear module of its layers.
    """
    path, layers = layer_modules(model)
    linear = [name for name, module in layers[0].named_modules() if isinstance(module, nn.Linear | Conv1D)]
    if not linear:
        raise ModelError("The layers of this model have no linear modules to adapt.", "Choose another model.")

    def known(name: str) -> bool:
        if name.startswith("attention.output."):
            return False
        return any(name == wanted or name.endswith("." + wanted) for wanted in ATTENTION + MLP)

    chosen = [name for name in linear if known(name)] or linear
    return rf".*{re.escape(path)}\.\d+\.({'|'.join(re.escape(name) for name in chosen)})"


def head_modules(model: nn.Module) -> list[str]:
    """Modules outside the layers that train in full and are saved: the classification head, with the encoder's pooler."""
    names = [name for name, _ in model.named_children() if name in ("score", "classifier", "head", "pre_classifier")]
    if any(name.endswith(".pooler") or name == "pooler" for name, _ in model.named_modules()):
        names.append("pooler")
    if not names:
        raise ModelError("This model has no classification head.", "Choose a model for sequence classification.")
    return names


def add_lora(model: nn.Module, *, r: int, alpha: float, dropout: float) -> PeftModel:
    """The model with LoRA in every layer; adapters and head are trainable and float32, all else is frozen."""
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=target_modules(model),
        modules_to_save=head_modules(model),
    )
    return _ready(get_peft_model(model, config))


def _ready(model: PeftModel) -> PeftModel:
    """Adapters and head in float32, whatever the numbers of the frozen model, and products in one operation."""
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.data = parameter.data.to(torch.float32)
    fuse_lora(model)
    return model


def trainable_state(model: PeftModel) -> dict[str, torch.Tensor]:
    """A copy on the CPU of adapters and head, by parameter name."""
    return {
        name: p.detach().cpu().clone()
        for name, p in model.named_parameters()
        if "lora_" in name or "modules_to_save" in name
    }


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
        raise AdapterError(
            f"The adapter in {folder.name!r} does not fit its base model, or its file is damaged.",
            "Train it again, or choose another adapter.",
        ) from error
    return _ready(loaded).eval()
