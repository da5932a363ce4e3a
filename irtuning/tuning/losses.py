"""What a model's loss is a mean of, so that losses of parts can be put together. Knows no layers and no policy."""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from torch import nn
from transformers.loss.loss_utils import LOSS_MAPPING, ForCausalLMLoss

Seen = tuple[dict[str, Any], torch.Tensor]
"""A part of a batch: the model's inputs, and what their mean loss weighs among other parts."""
ITEMS = "num_items_in_batch"
IGNORED = -100


def own_mean(loss: torch.Tensor, inputs: dict[str, Any], model: nn.Module) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """(mean loss of these inputs alone, what it weighs, the inputs that give it again); nothing leaves the device.

    A loss is taken for the mean over its rows. Those of language models are means over tokens, which the Trainer has them
    divide by the tokens of all accumulated batches on all processes, as it tells them in `num_items_in_batch`. Most other models
    do not read that; of those that do (some of vision, and of masked words) a part's loss is told as a share of the whole.
    """
    labels, items = inputs.get("labels"), inputs.get(ITEMS)
    again = {key: value for key, value in inputs.items() if key != ITEMS}
    if labels is None or not over_tokens(model):
        return loss, torch.full_like(loss, len(labels) if labels is not None else 1), again
    # The next token is predicted, so that of the first place is never asked for.
    own = labels[..., 1:].ne(IGNORED).sum().type_as(loss)
    mean = loss if items is None else loss * items / own.clamp(min=1)
    return torch.where(own > 0, mean, torch.zeros_like(mean)), own, again


def over_tokens(model: nn.Module) -> bool:
    """Whether a model's loss is that of predicting the next token; told as the Trainer tells it."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    decodes = not getattr(getattr(base, "config", None), "is_encoder_decoder", False)
    return decodes and LOSS_MAPPING.get(getattr(base, "loss_type", None)) is ForCausalLMLoss
