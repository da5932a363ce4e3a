"""What a run will take, as one sentence: the estimate of `insight`, fed with what former runs took on this store.

Knows no gradio.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.errors import StudioError
from irtuning.insight.estimate import Estimate, Measured, bits, estimate, measured
from irtuning.insight.machine import Machine
from irtuning.revisions.corpora import Columns
from irtuning.runs.description import local_path
from irtuning.runs.store import RunStore
from irtuning.ui.corpus import sizes_of
from irtuning.ui.form import STEADY, method_of
from irtuning.ui.words import duration, gigabytes

HEAD_BYTES = 200_000
"""How much of a former run's events is read to learn its speed."""
SHALLOW = 6
"""Layers of the deepest model with which the steady setting was seen to lose nothing."""
STEADY_COSTS = "On deep models the steady setting can cost a point or two of F1."
LOOK_BACK = 30
"""How many of the newest runs are looked through for one of the same model."""


def forecast(store: RunStore, config: RunConfig, machine: Machine | None) -> tuple[str, str]:
    """(what kind of message, the sentence) for a request: kinds are `plain`, and `warning` where it cannot go well.

    Nothing is raised: what is wrong with the corpus is the sentence.
    """
    try:
        found = _estimated(store, config, machine)
    except StudioError as error:
        return "warning", str(error)
    if machine and found.memory_gib and found.memory_gib > machine.room_gib:
        where = "on the GPU" if machine.gpu_memory_gib else "on this machine"
        return "warning", (
            f"This run needs about {gigabytes(found.memory_gib)}, and there are {gigabytes(machine.room_gib)} {where}: "
            "choose a smaller model, a smaller batch or a shorter maximum length."
        )
    return "plain", sentence(found) + (f" {STEADY_COSTS}" if _may_lose(config) else "")


def _may_lose(config: RunConfig) -> bool:
    entry = catalogue.MODELS.get(config.model_name or "")
    return method_of(config) == STEADY and (entry is None or entry.layers > SHALLOW)


def preset_spans(store: RunStore, machine: Machine | None) -> dict[str, str]:
    """How long each preset takes on this machine, by its name, e.g. `about 70 s`; those of unknown length are left out."""
    found = {name: _estimated(store, RunConfig().with_preset(name), machine) for name in catalogue.PRESETS}
    return {name: f"about {duration(each.seconds)}" for name, each in found.items() if each.seconds is not None}


def _estimated(store: RunStore, config: RunConfig, machine: Machine | None) -> Estimate:
    resolved = config.resolve()
    columns = Columns(config.before_column, config.after_column, config.label_column, config.doc_column)
    sizes = sizes_of(resolved.dataset_name or "", columns, use_instruction=bool(resolved.use_instruction))
    return estimate(resolved, sizes, machine, history(store, resolved))


def sentence(found: Estimate) -> str:
    """An estimate in words."""
    memory = gigabytes(found.memory_gib) if found.memory_gib else ""
    if found.seconds is None:
        if memory:
            return f"About {memory} on this machine; how long it takes is known once the corpus is loaded."
        return "How long it takes is known once this model has run here."
    both = " and ".join(part for part in (duration(found.seconds), memory) if part)
    guess = " A guess: this model has not run here yet." if found.guess else ""
    return f"About {both} on this machine.{guess}"


def history(store: RunStore, config: RunConfig) -> Measured | None:
    """What the same model took on this store, by its newest run that says so; a run of the same method is preferred."""
    folder = local_path(config.model_name, catalogue.MODELS)
    name = folder.name if folder else config.model_name
    runs = [
        row for row in store.list()
        if row["model"] == name and not row.get("recorded") and row["state"] in ("finished", "stopped")
    ][:LOOK_BACK]
    runs.sort(key=lambda row: row["method"] != config.tuning_method)
    for row in runs:
        former = _settings(store, row["run"])
        if former and _held(former) == _held(config) and (took := _took(store, row["run"])):
            return replace(took, of=former)
    return None


def _held(config: RunConfig) -> tuple[object, ...]:
    """Where the model lies and how it is held: what was measured of one way tells nothing of another."""
    model = local_path(config.model_name, catalogue.MODELS) or config.model_name
    return model, config.device or "auto", config.dtype or "auto", bits(config.model_dump())


def _settings(store: RunStore, run: str) -> RunConfig | None:
    """Of a former run; None where they cannot be read or would make none today."""
    try:
        return store.run_config(run).resolve()
    except StudioError:
        return None


@lru_cache(maxsize=256)
def _took(store: RunStore, run: str) -> Measured | None:
    try:
        _, events = store.read_events(run, 0, limit_bytes=HEAD_BYTES)
    except StudioError:
        return None
    return measured(events)
