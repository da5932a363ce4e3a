"""What a model's loss is a mean of, so that losses of parts can be put together. Knows no layers and no policy."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

Seen = tuple[dict[str, Any], torch.Tensor]
"""A part of a batch: the model's inputs, and what their mean loss weighs among other parts."""
ITEMS = "num_items_in_batch"
IGNORED = -100


def own_mean(loss: torch.Tensor, inputs: dict[str, Any], model: nn.Module) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """(mean loss of these inputs alone, what it weighs, the inputs that give it again); nothing leaves the device.

    With one label a row it weighs its rows. Losses over tokens weigh their tokens, and the Trainer has them divided by the
    tokens of all accumulated batches on all processes, as it tells the model in `num_items_in_batch`. Models with one label
    a row are told the same and do not read it.
    """
    labels, items = inputs.get("labels"), inputs.get(ITEMS)
    again = {key: value for key, value in inputs.items() if key != ITEMS}
    if labels is None or labels.dim() < 2:
        return loss, torch.full_like(loss, len(labels) if labels is not None else 1), again
    # A decoder predicts the next token, so that of the first place is never asked for.
    shifted = not getattr(model.config, "is_encoder_decoder", False)
    own = (labels[..., 1:] if shifted else labels).ne(IGNORED).sum().type_as(loss)
    mean = loss if items is None else loss * items / own.clamp(min=1)
    return torch.where(own > 0, mean, torch.zeros_like(mean)), own, again
