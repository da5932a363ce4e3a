"""What a Trainer's arguments mean for layer-wise tuning: where gradients cannot be measured, and what would undo the saving.

Knows no policies and no units.
"""

from __future__ import annotations

import logging

from accelerate.utils import DistributedType
from torch import nn
from transformers import PreTrainedModel, TrainingArguments

from irtuning.errors import ModelError

_log = logging.getLogger(__name__)
ASKS_FOR_GRADIENTS = ("make_inputs_require_grads", "make_inputs_require_grad")
"""Names of transformers' and peft's hooks that have the embeddings' output ask for a gradient."""


def refuse_unmeasurable(args: TrainingArguments, model: nn.Module) -> None:
    """Does nothing where each process has whole gradients of one device when the optimizer is about to step.

    Raises:
        ModelError: it has not.
    """
    if args.n_gpu > 1:
        raise ModelError(
            f"One process cannot measure layers on {args.n_gpu} GPUs at once.",
            "Start one process per GPU with accelerate launch, or set CUDA_VISIBLE_DEVICES=0.",
        )
    kind = getattr(args.distributed_state, "distributed_type", None)
    if args.deepspeed or args.fsdp or kind in (DistributedType.DEEPSPEED, DistributedType.FSDP):
        raise ModelError(
            "Under DeepSpeed and FSDP no process has whole gradients to measure.",
            "Use accelerate launch without them: every GPU then holds the model.",
        )
    if len({p.device for p in model.parameters() if p.requires_grad}) > 1:
        raise ModelError("The model's adapters lie on several devices.", "Load it on one, without device_map.")


def refuse_out_of_step(args: TrainingArguments, model: nn.Module) -> None:
    """Does nothing where several processes are told of layers without gradients, or there is one process.

    Raises:
        ModelError: they are not.
    """
    # Of transformers' own models with checkpointing the Trainer takes it that every parameter gets a gradient.
    asked = args.ddp_find_unused_parameters
    again = args.activation_checkpointing or getattr(model, "is_activation_checkpointing", False)
    found = not (isinstance(model, PreTrainedModel) and again) if asked is None else asked
    if args.world_size > 1 and not found:
        raise ModelError(
            "Layers that rest get no gradients, and several processes wait for them.", "Set ddp_find_unused_parameters=True."
        )


def let_resting_layers_rest(model: nn.Module) -> None:
    """Where activations are computed again, has the backward pass end at the lowest layer that trains.

    transformers then asks for gradients of the embeddings, which only the older, reentrant way of doing so needs: all layers
    would be computed again and differentiated, whichever train.
    """
    again = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    ways = [getattr(module, "_gradient_checkpointing_func", None) for module in again]
    if any(getattr(way, "keywords", {}).get("use_reentrant") for way in ways):
        _log.warning(
            "Checkpointing in the reentrant way differentiates layers that rest, too, and saves none of their time: "
            "set use_reentrant=False in its arguments."
        )
    elif again:
        _end_where_training_ends(model)


def _end_where_training_ends(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.disable_input_require_grads()
        # Asked for twice, as by peft's preparing of a quantised model and then by the Trainer, transformers forgets the first hooks.
        for key in [key for key, hook in module._forward_hooks.items() if getattr(hook, "__name__", "") in ASKS_FOR_GRADIENTS]:
            del module._forward_hooks[key]
