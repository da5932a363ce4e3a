"""A frozen base model in 8 or 4 bit, through bitsandbytes: how it is loaded, and what its weights would be in full.

The library is no requirement: where it is missing or does not run, one sentence says so. Knows neither adapters' places nor
training. Everything outside the quantised products stays as it was: norms and embeddings in the device's numbers (peft's
`prepare_model_for_kbit_training` would make them float32, a gigabyte more for a vocabulary of 128,000), adapters and head
in float32.
"""

from __future__ import annotations

import importlib.util
import os
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from irtuning.config import RunConfig
from irtuning.errors import ModelError

Bits = Literal["", "8bit", "4bit"]
"""How a frozen model is held; empty: in the device's own numbers."""
TESTED = "0.50.2"
"""The version of bitsandbytes that this was tested with."""
BLOCK = 64
"""Numbers that share one scale in 4 bit."""
BRING = f"pip install bitsandbytes=={TESTED}"


def bits_of(config: RunConfig) -> Bits:
    """What a resolved config asks for."""
    return "8bit" if config.load_8bit else "4bit" if config.load_4bit else ""


def words(bits: Bits) -> str:
    """For people: `8 bit` or `4 bit`."""
    return bits.replace("bit", " bit")


def installed() -> bool:
    """Whether bitsandbytes is there; it is not loaded for that."""
    return importlib.util.find_spec("bitsandbytes") is not None


def refuse_missing(bits: Bits) -> None:
    """Does nothing where nothing is quantised or bitsandbytes is installed.

    Raises:
        ModelError: it is missing; the advice is the command that brings it.
    """
    if bits and not installed():
        raise ModelError(
            f"Loading a model in {words(bits)} needs bitsandbytes, which is not installed.",
            f"Bring it with: {BRING} (or leave --load-{bits} out).",
        )


def refuse_widths(bits: Bits, device: torch.device, layers: nn.Module) -> None:
    """Does nothing where the library computes rightly.

    Raises:
        ModelError: in 4 bit on a CPU, the products' rows are no multiple of a block: each number would be off by a quarter.
    """
    if bits != "4bit" or device.type != "cpu":
        return
    linear = [m for m in layers.modules() if isinstance(m, nn.Linear | Conv1D)]
    widths = [m.weight.shape[0] if isinstance(m, Conv1D) else m.in_features for m in linear]
    if odd := [width for width in widths if width % BLOCK]:
        raise ModelError(
            f"On a CPU, 4 bit needs layers whose inputs are a multiple of {BLOCK} wide; this model has one of {odd[0]}.",
            "Use --load-8bit, or train on a GPU.",
        )


def does_not_run(bits: Bits, base_id: str, device: torch.device, error: BaseException) -> ModelError:
    """What to say where bitsandbytes is there and could not do it."""
    return ModelError(
        f"bitsandbytes could not load {base_id!r} in {words(bits)} on {device.type} ({type(error).__name__}).",
        f"Leave --load-{bits} out, or try the version that was tested: {BRING}",
    )


def loading(bits: Bits, keep: list[str], dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What `from_pretrained` is told; nothing where nothing is quantised.

    Args:
        keep: modules that stay as they are, by name: the head. dtype: of the products.
    """
    if not bits:
        return {}
    from transformers import BitsAndBytesConfig

    if bits == "8bit":
        how = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=keep)
    else:
        how = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=keep,
        )
    # Each of several processes holds the model on its own GPU; a quantised one is never moved afterwards.
    place = int(os.environ.get("LOCAL_RANK", "0")) if device.type == "cuda" else device.type
    return {"quantization_config": how, "device_map": {"": place}}


def settle(model: nn.Module) -> None:
    """Makes a model that was just loaded fit to train after it was evaluated."""
    for module in model.modules():
        # On some CPUs evaluation would repack the weights for good, into a form through which no gradient flows.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
        if hasattr(module, "init_8bit_state"):
            module.init_8bit_state = partial(_take_scales, module)


def _take_scales(module: Any) -> None:
    """As the library's own, save that scales known before stay: DoRA on a CPU puts a copy of the weight in without them."""
    known = module.state.SCB
    type(module).init_8bit_state(module)
    if module.state.SCB is None:
        module.state.SCB = known


def is_quantised(module: nn.Module) -> bool:
    """Whether a linear module's weight is held by bitsandbytes."""
    return type(getattr(module, "weight", None)).__name__ in ("Params4bit", "Int8Params")


def full_weight(module: nn.Module) -> torch.Tensor:
    """The weight of a linear module in floating point, dequantised where it has to be; a quantised one is a copy."""
    if not is_quantised(module):
        return module.weight
    from peft.utils.integrations import dequantize_bnb_weight

    return dequantize_bnb_weight(module.weight, state=getattr(module, "state", None))
