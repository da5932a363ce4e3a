"""The catalogue's models as plain rows: what each is, what a run with its defaults needs, and where it lies on this machine.

Loads no model, asks no hub and no device; memory is told for any GPU that computes in bfloat16.
"""

from __future__ import annotations

from typing import Any

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.insight.estimate import estimate
from irtuning.insight.machine import Machine

A_GPU = Machine("cuda", "GPU", "bfloat16", 8, 64.0, None)
HELD: dict[str, dict[str, bool]] = {"bfloat16": {}, "8bit": {"load_8bit": True}, "4bit": {"load_4bit": True}}
"""How the frozen model is held -> what a run is told for that."""


def memory_gib(name: str) -> dict[str, float]:
    """Memory at the peak of a run with the model's defaults on a GPU, by how the frozen model is held; a guess."""
    return {
        how: round(estimate(RunConfig(model_name=name, **told).resolve(), None, A_GPU).memory_gib or 0.0, 2)
        for how, told in HELD.items()
    }


def model_rows() -> list[dict[str, Any]]:
    """One row a model, in the catalogue's order: name, title, hub_id, instruct_id or None, default_id (whose weights a run
    takes where nobody says otherwise), layers, hidden_size, parameters (a number), licence, gated, memory_gib (bfloat16,
    8bit, 4bit), on_this_machine (a phrase, or None)."""
    from irtuning.tuning.weights import find_on_machine  # loads no torch

    return [
        {
            "name": model.name,
            "title": model.title,
            "hub_id": model.hub_id,
            "instruct_id": model.instruct_id or None,
            "default_id": model.default_id,
            "layers": model.layers,
            "hidden_size": model.hidden_size,
            "parameters": round(model.parameters_m * 1e6),
            "licence": model.licence,
            "gated": model.gated,
            "memory_gib": memory_gib(model.name),
            "on_this_machine": find_on_machine(model),
        }
        for model in catalogue.MODELS.values()
    ]
