"""The Train page's form as plain values: its fields come from RunConfig, its placeholders from the model's defaults.

Pure; knows no gradio. A field left empty is None in the request: the model's default holds.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from irtuning import catalogue
from irtuning.config import RunConfig, parse_config
from irtuning.errors import ConfigError
from irtuning.ui.words import number

ROWS = (
    "model_name", "dataset_name", "tuning_method", "importance_metric_name", "adapter_name", "lora_r", "bottleneck_width",
)
"""Fields that stand in the short list of a run; an adapter's size is chosen with it."""
ELSEWHERE = ("before_column", "after_column", "label_column", "doc_column", "logging_steps", "save_steps", "report_to")
"""Fields chosen beside an uploaded file, or of use on a terminal alone."""
GROUPS: dict[str, tuple[str, ...]] = {
    "Choosing layers": (
        "selection_unit", "split_num", "boundary", "layer_count", "layers", "lisa_interval", "refresh_every", "relative_to",
        "explore", "budget", "settle_after", "cache_prefix",
    ),
    "Machine and memory": (
        "per_device_train_batch_size", "gradient_accumulation_steps", "tokens_per_micro_batch", "gradient_checkpointing",
        "device", "dtype", "load_8bit", "load_4bit",
    ),
}
"""Folded parts of their own; all other settings stand under "More settings", which comes between them."""
REST = "More settings"
OWN_FILE = "own-file"
"""What the corpus row holds while a file of one's own is used."""

METHODS = {
    "ir": "IR-Tuning", "rst": "RST, random layers", "ist": "IST, learnt by damping", "full": "All layers",
    "lisa": "LISA, random for some steps", "top-k": "Top-k, the highest scores", "fixed": "Fixed, layers you name",
}
STEADY = "steady"
"""What the method row holds for IR-Tuning with the steady setting."""
METRICS = {"gradient": "Gradient norm", "cosine": "Cosine of hidden states", "weight": "Weight norm"}
ADAPTERS = {"lora": "LoRA, rank", "dora": "DoRA, rank", "bottleneck": "Bottleneck, width"}
SIZES = {"lora": "lora_r", "dora": "lora_r", "bottleneck": "bottleneck_width"}
"""The field that holds an adapter's size."""
RANKS = (1, 2, 4, 8, 16, 32, 64, 128)
WIDTHS = (16, 32, 64, 128, 256)
_LABELS = {
    "model_name": "Model", "dataset_name": "Corpus", "adapter_name": "Adapter", "importance_metric_name": "Metric",
    "tuning_method": "Method", "split_num": "Splits", "selection_unit": "What is chosen", "layer_count": "How many train",
    "layers": "Which train", "lisa_interval": "Steps a draw is kept", "refresh_every": "Measure all every",
    "relative_to": "Scores relative to", "explore": "Exploration", "budget": "Time budget",
    "settle_after": "Settle after", "cache_prefix": "Skip resting layers",
    "use_instruction": "Instruction", "instruction": "Your own instruction", "load_8bit": "8 bit", "load_4bit": "4 bit",
    "lora_r": "LoRA rank",
    "num_train_epochs": "Epochs", "max_steps": "Number of steps", "step_limit": "Most steps",
    "per_device_train_batch_size": "Batch on the device",
    "gradient_accumulation_steps": "Batches a step", "tokens_per_micro_batch": "Tokens per micro-batch", "max_length": "Maximum length",
    "warmup_steps": "Warm-up steps", "max_grad_norm": "Gradient clipping", "dtype": "Number format",
}
"""Where a field's own name would not read well."""
_UNSET = {"max_steps": "all of the epochs", "per_device_train_batch_size": "the batch size",
          "gradient_accumulation_steps": "1", "warmup_steps": "an eighth"}


@dataclass(frozen=True)
class Field:
    """One setting of the folded part.

    Attributes:
        name: RunConfig's. label, info: for people. choices: (words, value) where there are few to choose from, else empty.
    """

    name: str
    label: str
    info: str
    choices: tuple[tuple[str, str], ...] = ()


def folded_fields() -> list[Field]:
    """Settings of the folded parts, part by part, each in RunConfig's order."""
    return [
        Field(name, label(name), info.description or "", choices(info.annotation))
        for part in folded_parts()
        for name, info in RunConfig.model_fields.items()
        if name not in ROWS and name not in ELSEWHERE and part_of(name) == part
    ]


def folded_parts() -> list[str]:
    """Titles of the folded parts, from the top."""
    first, *others = GROUPS
    return [first, REST, *others]


def part_of(name: str) -> str:
    """The folded part that a setting stands in."""
    return next((part for part, names in GROUPS.items() if name in names), REST)


def label(name: str) -> str:
    """A field's name in words: `lora_alpha` is `LoRA alpha`."""
    if name in _LABELS:
        return _LABELS[name]
    words = name.replace("_", " ")
    return f"{words[:1].upper()}{words[1:]}".replace("Lora", "LoRA")


def choices(annotation: Any) -> tuple[tuple[str, str], ...]:
    """What a field's type lets one choose from, as (words, value): of a Literal or a bool; empty for numbers and texts."""
    inner = [part for part in _parts(annotation) if part is not type(None)]
    if len(inner) != 1:
        return ()
    if inner[0] is bool:
        return (("yes", "yes"), ("no", "no"))
    if get_origin(inner[0]) is Literal:
        return tuple((str(value), str(value)) for value in get_args(inner[0]))
    return ()


def _parts(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def default_words(name: str, model: str | None, corpus: str | None) -> str:
    """What holds where a field is left empty, as one would type it."""
    value = catalogue.defaults_for(model or "", corpus).get(name)
    if value is None:
        return _UNSET.get(name, "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)


def with_default(field: Field, model: str | None, corpus: str | None, chosen: str = "") -> list[tuple[str, str]]:
    """A folded field's choices, with what holds where nothing is chosen on top; its value is empty. What is chosen stays among
    them, also where it is this model's default."""
    default = default_words(field.name, model, corpus)
    return [(f"{default} (default)", ""), *(pair for pair in field.choices if pair[1] == chosen or pair[1] != default)]


def method_choices() -> list[tuple[str, str]]:
    """(words, value) of the methods that can run."""
    first, *others = _named("tuning_method", METHODS)
    return [first, ("IR-Tuning, steady", STEADY), *others]


def method_of(config: RunConfig) -> str:
    """The method row's value for a request."""
    if all(getattr(config, name) == value for name, value in catalogue.STEADY.items()):
        return STEADY
    return config.tuning_method or usual(config)["tuning_method"]


def metric_choices() -> list[tuple[str, str]]:
    """(words, value) of the metrics that can rank layers."""
    return _named("importance_metric_name", METRICS)


def adapter_choices(chosen: str = "") -> list[tuple[str, str]]:
    """(words, value) of the adapters at the usual sizes, and of the one that is chosen; a value is e.g. `lora:16`."""
    kind_chosen, _, size_chosen = chosen.partition(":")
    found = []
    for words, kind in _named("adapter_name", ADAPTERS):
        sizes = {*(WIDTHS if kind == "bottleneck" else RANKS), *([int(size_chosen)] if kind == kind_chosen else [])}
        found += [(f"{words} {size}", f"{kind}:{size}") for size in sorted(sizes)]
    return found


def default_adapter(model: str | None) -> str:
    """The adapter row's value for a model, at its usual size."""
    return adapter_of(RunConfig(model_name=model or None))


def adapter_of(config: RunConfig) -> str:
    """The adapter row's value for a request: its kind and size, or the model's usual ones."""
    kind = config.adapter_name or usual(config)["adapter_name"]
    return f"{kind}:{getattr(config, SIZES[kind]) or usual(config)[SIZES[kind]]}"


def usual(config: RunConfig) -> dict[str, Any]:
    """What holds where a request sets nothing."""
    return catalogue.defaults_for(config.model_name or "", config.dataset_name)


def _named(field: str, words: Mapping[str, str]) -> list[tuple[str, str]]:
    found = choices(RunConfig.model_fields[field].annotation)
    return [(words.get(value, value), value) for _, value in found]


def model_choices(*, embedded_only: bool = False) -> list[tuple[str, str]]:
    """(title, name) of the catalogue's base models."""
    return [
        (f"{m.title}, {m.layers} layers", m.name)
        for m in catalogue.MODELS.values()
        if not embedded_only or m.name in catalogue.EMBEDDED
    ]


def corpus_choices() -> list[tuple[str, str]]:
    """(title, name) of the catalogue's corpora, and a file of one's own."""
    return [*((c.title, c.name) for c in catalogue.CORPORA.values()), ("A file of your own", OWN_FILE)]


def preset_of(model: str | None) -> str:
    """The preset that starts from this base model, empty where none does."""
    return next((p.name for p in catalogue.PRESETS.values() if p.values["model_name"] == model), "")


def read(
    *, model: str | None, corpus: str | None, method: str | None, metric: str | None, adapter: str | None,
    folded: Mapping[str, Any], columns: Mapping[str, str | None] | None = None,
) -> RunConfig:
    """The request a filled form stands for; what equals the model's default is left to it.

    Raises:
        ConfigError: a value cannot be right; the message names the first such field.
    """
    kind, _, size = (adapter or "").partition(":")
    steady = catalogue.STEADY if method == STEADY else {}
    values: dict[str, Any] = {
        "tuning_method": "ir" if steady else method, "importance_metric_name": metric, "adapter_name": kind,
        SIZES.get(kind, "lora_r"): size, **folded,
    }
    # What is typed below wins over what the row above stands for.
    values.update({name: value for name, value in steady.items() if _plain(values.get(name)) is None})
    name, rows = (model or "").strip(), (corpus or "").strip() or None
    defaults = catalogue.defaults_for(name, rows)
    given = {}
    for key, value in values.items():
        value = _plain(value)
        if value is not None and not _same(value, defaults.get(key)):
            given[key] = value
    named = {"model_name": name or None, "dataset_name": rows, **(columns or {})}
    try:
        return parse_config({**{key: value for key, value in named.items() if value is not None}, **given})
    except ConfigError as error:
        raise as_labelled(error) from None


def as_labelled(error: ConfigError) -> ConfigError:
    """An error whose sentence begins with a field's name, with the name that the form gives it."""
    for name in RunConfig.model_fields:
        for follows in (":", " is not used "):
            start = name.replace("_", " ").capitalize() + follows
            if error.what.startswith(start):
                return ConfigError(f"{label(name)}{follows}{error.what.removeprefix(start)}", error.advice)
    return error


def _plain(value: Any) -> Any:
    """A control's value as RunConfig takes it: nothing for an empty one, a bool for yes and no, a number where it is one."""
    if not isinstance(value, str):
        return value
    value = value.strip()
    if not value:
        return None
    if value in ("yes", "no"):
        return value == "yes"
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        return value


def _same(value: Any, usual: Any) -> bool:
    return (type(value) is not bool and type(usual) is not bool and value == usual) or value is usual


def folded_values(config: RunConfig) -> dict[str, str]:
    """What the folded fields show for a config: its values as one would type them, empty where unset."""
    shown, steady = {}, method_of(config) == STEADY
    for field in folded_fields():
        value = getattr(config, field.name)
        if steady and catalogue.STEADY.get(field.name) == value:
            value = None
        if value is None or _same(value, usual(config).get(field.name)):
            shown[field.name] = ""
        elif isinstance(value, bool):
            shown[field.name] = "yes" if value else "no"
        else:
            shown[field.name] = number(value) if isinstance(value, float) else str(value)
    return shown
