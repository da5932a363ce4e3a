"""Loads base models with a classification head, and their tokenizers.

Knows nothing of adapters, texts or runs. Safetensors only; no code of a model's own is ever run.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from irtuning.errors import ModelError
from irtuning.tuning import quantised
from irtuning.tuning.adapters import head_modules
from irtuning.tuning.device import out_of_memory
from irtuning.tuning.layers import layer_modules, text_config
from irtuning.tuning.weights import Weights

# peft still asks transformers by names that it is about to give up; nobody who trains or classifies can do anything about it.
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def load_config(weights: Weights) -> Any:
    """The model's config.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return AutoConfig.from_pretrained(weights.source, local_files_only=weights.local, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        _refuse_half(weights, error)
        raise ModelError(
            f"The config of {weights.base_id!r} cannot be read by this version of transformers.",
            "Choose another model.",
        ) from error


def is_decoder(config: Any) -> bool:
    """Whether the model reads left to right: its architecture or family is one for causal language modelling."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    return config.model_type in CAUSAL and config.model_type not in MASKED


def load_tokenizer(weights: Weights) -> Any:
    """The model's tokenizer, with a padding token.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            weights.source, local_files_only=weights.local, trust_remote_code=False, use_fast=True
        )
    except (OSError, ValueError, KeyError) as error:
        _refuse_half(weights, error)
        raise ModelError(f"The tokenizer of {weights.base_id!r} cannot be read.", "Choose another model.") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def load_model(
    weights: Weights,
    tokenizer: Any,
    labels: list[str],
    *,
    dtype: torch.dtype,
    device: torch.device,
    seed: int,
    bits: quantised.Bits = "",
) -> PreTrainedModel:
    """The base model with a classification head over `labels`, on the device, in evaluation mode.

    The head is fresh, unless the weights bring one for as many labels.

    Args:
        dtype: numbers of the whole model; the caller makes what trains float32.
        seed: of the head's initial values.
        bits: hold the products' weights in 8 or 4 bit; head and pooler stay as they are.

    Raises:
        ModelError: the weights cannot be read or have no form for classification, or bitsandbytes is missing or fails.
    """
    quantised.refuse_missing(bits)
    torch.manual_seed(seed)
    # What transformers reports of a head that is new by design would only worry.
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        model, told = AutoModelForSequenceClassification.from_pretrained(
            weights.source,
            num_labels=len(labels),
            problem_type="single_label_classification",
            # A head for other labels is left behind; that nothing else is, is looked at below.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            id2label=dict(enumerate(labels)),
            label2id={name: i for i, name in enumerate(labels)},
            dtype=dtype,
            **attention(dtype, device),
            local_files_only=weights.local,
            trust_remote_code=False,
            use_safetensors=True,
            **(quantised.loading(bits, _kept_in_full(weights, bits, device), dtype, device) if bits else {}),
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        if out_of_memory(error):
            raise
        _refuse_half(weights, error)
        if bits:
            raise quantised.does_not_run(bits, weights.base_id, device, error) from error
        raise ModelError(
            f"The weights of {weights.base_id!r} cannot be loaded for classification.",
            "Check that the model is complete and is a language model that transformers knows.",
        ) from error
    strange = {name for name, *_ in told["mismatched_keys"]} | set(told["missing_keys"])
    # What is neither would be left at random, and frozen.
    if any(set(head_modules(model)).isdisjoint(name.split(".")) for name in strange):
        raise ModelError(f"The weights of {weights.base_id!r} are not those that its config tells of.", "Choose another model.")
    text_config(model.config).pad_token_id = tokenizer.pad_token_id
    if bits:
        quantised.settle(model)
        return model.eval()
    return model.to(device).eval()


def longest_input(model: torch.nn.Module) -> int | None:
    """Tokens that a model reads at most, special ones included; None where its config does not say.

    Where positions are counted from behind the padding's number, as RoBERTa's are, as many fewer fit.
    """
    longest = getattr(text_config(model.config), "max_position_embeddings", None)
    shifts = [m.padding_idx + 1 for m in model.modules() if hasattr(m, "create_position_ids_from_input_ids")]
    return None if longest is None else longest - max(shifts, default=0)


def attention(dtype: torch.dtype, device: torch.device) -> dict[str, str]:
    """How `from_pretrained` is to compute attention: the library's own choice, but plain products in bfloat16 on a CPU.

    There the fused kernel's backward pass takes several times as long on rows of some ten to two hundred tokens.
    """
    return {"attn_implementation": "eager"} if device.type == "cpu" and dtype == torch.bfloat16 else {}


def _refuse_half(weights: Weights, error: Exception) -> None:
    """Does nothing but where the hub or the network failed while files were fetched.

    Raises:
        ModelError: it did.
    """
    if not weights.local and isinstance(error, OSError):
        raise ModelError(
            f"The hub did not give all files of {weights.base_id!r}.", "Try again in a minute: what was fetched is kept."
        ) from error


def _kept_in_full(weights: Weights, bits: quantised.Bits, device: torch.device) -> list[str]:
    """Full names of the modules of the head and the pooler, from a model without weights.

    Raises:
        ModelError: the library would compute wrongly on this model.
    """
    with torch.device("meta"):
        skeleton = AutoModelForSequenceClassification.from_config(load_config(weights), trust_remote_code=False)
    ends = head_modules(skeleton)
    quantised.refuse_widths(bits, device, layer_modules(skeleton)[1])
    return [name for name, _ in skeleton.named_modules() if name.split(".")[-1] in ends]
