"""RunConfig: every choice of a run, as one frozen value. Flags, form and JSON derive from it.

Nothing here touches a disk or a device. What nobody set is None in a request; `resolve` fills it in from the catalogue.
"""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from irtuning import catalogue, combinations
from irtuning.errors import ConfigError

Finite = Annotated[float, Field(allow_inf_nan=False)]


class RunConfig(BaseModel):
    """Every choice of a run. None: take what works best for the chosen model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_name: str | None = Field(None, description="Base model: a catalogue name, a hub id or a local folder.")
    dataset_name: str | None = Field(
        None, description="Corpus: a catalogue name, a hub id, or a local folder or file (.jsonl, .csv, .tsv, .xlsx)."
    )
    adapter_name: Literal["lora", "dora", "bottleneck"] | None = Field(
        None, description="Kind of adapter put into every layer: lora, dora, or bottleneck (parallel, tanh)."
    )
    importance_metric_name: Literal["gradient", "cosine", "weight"] | None = Field(
        None,
        description="What makes a layer important: gradient, the norms of its adapters' gradients; cosine, how much it turns "
        "the hidden states that pass through it; weight, the norm of its attention's output projection, which never changes.",
    )
    tuning_method: Literal["ir", "rst", "ist", "full", "lisa", "top-k", "fixed"] | None = Field(
        None,
        description="Which layers train: ir splits them by importance at every step, rst draws some anew at every step, ist "
        "learns which matter by damping them, lisa keeps a draw for some steps, top-k takes the highest scores, fixed takes "
        "those of --layers, full takes all.",
    )
    selection_unit: Literal["layer", "block", "module"] | None = Field(
        None, description="What is chosen: whole layers, attention and MLP apart, or each adapted module."
    )
    split_num: int | None = Field(
        None, ge=1, le=2, description="How often the layers are split (ir): 2 splits the important ones once more."
    )
    boundary: Literal["reference", "exact"] | None = Field(
        None,
        description="Where the layers are split (ir): exact at the least variance, reference one layer off, as the paper's code does "
        "(one more trains; by cosine one fewer).",
    )
    layer_count: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="How many units train in a step; unset: an eighth (rst, lisa), a quarter (ist) or half (top-k) of them.",
    )
    layers: str | None = Field(
        None,
        coerce_numbers_to_str=True,
        description="The units that train (fixed), counted from 0, e.g. 0,3-5.",
    )
    lisa_interval: int | None = Field(None, ge=1, description="Steps that a draw of layers is kept (lisa).")
    refresh_every: int | None = Field(
        None, ge=0, description="Train and measure all units every so many steps (ir, top-k); 0: never, with a budget every fourth step."
    )
    relative_to: Literal["nothing", "own-mean", "weight-norm", "parameters"] | None = Field(
        None,
        description="Rank scores as they are, or relative to the unit's own running mean, the norm of its frozen weights or "
        "its number of adapter parameters (ir, top-k).",
    )
    explore: Finite | None = Field(
        None, ge=0, le=1, description="Share of the chosen units that is replaced by resting ones at random (ir, top-k)."
    )
    budget: Finite | None = Field(
        None,
        gt=0,
        lt=1,
        description="Time that a step may take on average, as a share of one that trains all layers (ir), e.g. 0.7. Every fourth step, "
        "or every refresh-every, trains all; those between train the most important that fit.",
    )
    settle_after: Finite | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of the run in which all units train and are measured; then the budget's best stay chosen (ir with budget).",
    )
    cache_prefix: bool | None = Field(
        None,
        description="Keep, in up to 2 GiB of memory, what comes out of the lowest layers once they have rested for ten steps (at "
        "once with fixed or settle-after), so that rows seen before skip them.",
    )
    use_instruction: bool | None = Field(
        None, description="Put the pair into an instruction that names the possible intentions."
    )
    instruction: str | None = Field(
        None,
        min_length=1,
        max_length=4000,
        description="Your own instruction, with {before} and {after}, or {marked} for the text once with its changes marked; {labels} "
        "stands for the intentions.",
    )
    encoding: Literal["marked", "pair", "text"] | None = Field(
        None,
        description="Input without an instruction: marked is the text once with its changes marked, pair both texts as the tokenizer "
        "joins two, text both in one text.",
    )
    max_length: int | None = Field(
        None, ge=1, le=8192, description="Longest input in tokens; a longer pair is cut around its change."
    )
    lora_r: int | None = Field(None, ge=1, le=1024, description="Rank of the LoRA or DoRA adapters.")
    lora_alpha: Finite | None = Field(
        None, gt=0, description="LoRA's scaling numerator: updates are scaled by alpha / r."
    )
    bottleneck_width: int | None = Field(None, ge=1, le=8192, description="Width of the bottleneck adapters.")
    lora_dropout: Finite | None = Field(None, ge=0, lt=1, description="Dropout before the LoRA adapters, a fraction.")
    warmup_steps: int | None = Field(
        None,
        ge=0,
        description="Steps in which the learning rate rises from 0; unset: an eighth of the run, at most 100; the paper's models: 100.",
    )
    batch_size: int | None = Field(None, ge=1, le=4096, description="Pairs a step: per-device size times accumulation.")
    per_device_train_batch_size: int | None = Field(None, ge=1, description="Pairs a device takes at once.")
    gradient_accumulation_steps: int | None = Field(None, ge=1, description="Batches whose gradients make one step.")
    tokens_per_micro_batch: int | None = Field(
        None, ge=64, description="Most tokens, padding included, in one forward pass; a batch above it is cut further."
    )
    gradient_checkpointing: bool | None = Field(
        None, description="Compute activations again in the backward pass: slower, in less memory."
    )
    num_train_epochs: Finite | None = Field(None, gt=0, le=1000, description="Passes over the training rows.")
    max_steps: int | None = Field(
        None, ge=1, description="Train exactly this many steps, whatever the epochs; unset: the epochs decide."
    )
    step_limit: int | None = Field(None, ge=1, description="Train this many steps at most, where more would be due.")
    learning_rate: Finite | None = Field(None, gt=0, le=1, description="Highest learning rate of AdamW.")
    weight_decay: Finite | None = Field(None, ge=0, le=1, description="AdamW's weight decay.")
    max_grad_norm: Finite | None = Field(
        None, ge=0, description="Gradients are clipped to this L2 norm, after they were measured; 0: not clipped."
    )
    logging_steps: int | None = Field(
        None, ge=1, description="Steps between two progress lines on the terminal, and between two reports (report-to)."
    )
    save_steps: int | None = Field(
        None, ge=0, description="Steps between two checkpoints to resume from; 0: none are written."
    )
    report_to: Literal["none", "trackio", "wandb", "tensorboard"] | None = Field(
        None, description="Where losses and importances are reported to, beside the run's own folder."
    )
    seed: int | None = Field(None, ge=0, le=2**31 - 1, description="Seed of everything random.")
    device: Literal["auto", "cpu", "cuda", "mps"] | None = Field(
        None, description="Where to train; auto takes the fastest."
    )
    dtype: Literal["auto", "float32", "bfloat16"] | None = Field(
        None, description="Numbers of the frozen model; auto takes bfloat16 where the device computes in it."
    )
    load_8bit: bool | None = Field(None, description="Load the frozen model in 8 bit (needs bitsandbytes).")
    load_4bit: bool | None = Field(None, description="Load the frozen model in 4 bit (needs bitsandbytes).")
    before_column: str | None = Field(None, description="Column of the text before; unset: `before` or another usual name.")
    after_column: str | None = Field(None, description="Column of the text after; unset: `after` or another usual name.")
    label_column: str | None = Field(None, description="Column of the intention; unset: `label` or another usual name.")
    doc_column: str | None = Field(
        None, description="Column of the document or writer; unset: one that is called so; empty: none."
    )

    @field_validator("layers")
    @classmethod
    def _ranges_go_up(cls, text: str | None) -> str | None:
        for part in text.split(",") if text is not None else ():
            if not re.fullmatch(r"\d{1,5}(-\d{1,5})?", part, re.ASCII):
                raise ValueError(f"{part!r} is no unit and no range of units")
            first, _, last = part.partition("-")
            if last and int(last) < int(first):
                raise ValueError(f"{part} goes down: name the lower unit first")
        return text

    @model_validator(mode="after")
    def _goes_together(self) -> RunConfig:
        if wrong := combinations.fault(self.model_dump(exclude_none=True)):
            raise ValueError(wrong)
        return self

    @model_validator(mode="after")
    def _batches_multiply(self) -> RunConfig:
        whole, part, times = self.batch_size, self.per_device_train_batch_size, self.gradient_accumulation_steps
        # Of several processes started together each takes a device's batch; `runs.together` makes them one.
        if whole and part and times and whole not in (part * times, part * times * processes()):
            raise ValueError(f"batch size {whole} is not {part} a device times {times} accumulated")
        if whole and part and not times and whole % part:
            raise ValueError(f"batch size {whole} is no multiple of {part} a device")
        if whole and times and not part and whole % times:
            raise ValueError(f"batch size {whole} is no multiple of {times} accumulated")
        return self

    @property
    def given(self) -> list[str]:
        """Names of the fields somebody set, in the order of the class."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]

    def with_preset(self, name: str) -> RunConfig:
        """This request with a preset's values where nothing was set.

        Raises:
            ConfigError: no preset has this name, or a choice does not go with one whose values belong together.
        """
        preset = catalogue.STARTING_POINTS.get(name)
        if preset is None:
            raise ConfigError(f"There is no preset {name!r}.", f"Choose one of {', '.join(catalogue.STARTING_POINTS)}.")
        known = self.model_dump(exclude_none=True)
        values = {**catalogue.preset_values(preset, self.model_name), **known}
        if preset.whole and (wrong := combinations.fault(values)):
            raise ConfigError(f"The preset {name} does not go with that: {wrong}.")
        return parse_config(combinations.applicable(values, known))

    def resolve(self) -> RunConfig:
        """This request with every choice filled in that has a default.

        `max_steps`, `step_limit`, `warmup_steps` and the columns may stay None.
        """
        base = self if self.model_name else self.with_preset(catalogue.DEFAULT_PRESET)
        known = base.model_dump(exclude_none=True)
        values = {"dataset_name": catalogue.DEFAULT_CORPUS, **catalogue.defaults_for(base.model_name or "", base.dataset_name), **known}
        times, part = known.get("gradient_accumulation_steps"), known.get("per_device_train_batch_size")
        if "batch_size" not in known and (times or part):
            values["batch_size"] = (part or values["batch_size"]) * (times or 1)
        if known.get("instruction"):
            values["use_instruction"] = True
        whole = values["batch_size"]
        if part is None and times is None:
            values["per_device_train_batch_size"], values["gradient_accumulation_steps"] = whole, 1
        elif part is None:
            values["per_device_train_batch_size"] = whole // times
        elif times is None:
            values["gradient_accumulation_steps"] = whole // part
        return parse_config(combinations.applicable(values, known))


    def steps(self, rows: int) -> int:
        """Optimizer steps of this resolved request over so many training rows."""
        due = self.max_steps or max(1, round(-(-rows // (self.batch_size or 1)) * (self.num_train_epochs or 1)))
        return min(due, self.step_limit or due)

    def shortest(self) -> RunConfig:
        """The request with the fewest choices that resolves to this resolved one, from whatever preset they came."""
        usual = RunConfig(model_name=self.model_name, dataset_name=self.dataset_name).resolve()
        named = ("model_name", "dataset_name")
        chosen = self.model_dump(exclude_none=True).items()
        return parse_config({name: value for name, value in chosen if name in named or value != getattr(usual, name)})


def processes() -> int:
    """How many processes were started together, as `accelerate launch` or torchrun say; 1 for one alone."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def parse_config(values: dict[str, Any]) -> RunConfig:
    """A RunConfig from plain values, e.g. of JSON or a form.

    Raises:
        ConfigError: a value cannot be right; the message names the first such field and what it takes.
    """
    try:
        return RunConfig(**values)
    except ValidationError as error:
        raise ConfigError(explain(error)) from None


_FAULTS = {
    "int_parsing": "a whole number is expected",
    "int_from_float": "a whole number is expected",
    "int_type": "a whole number is expected",
    "float_parsing": "a number is expected",
    "float_type": "a number is expected",
    "finite_number": "a finite number is expected",
    "bool_parsing": "true or false is expected",
    "string_type": "text is expected",
    "literal_error": "{expected} is expected",
    "greater_than": "more than {gt:g} is expected",
    "greater_than_equal": "{ge:g} or more is expected",
    "less_than": "less than {lt:g} is expected",
    "less_than_equal": "{le:g} or less is expected",
}
"""pydantic's kinds of faults in a user's words."""


def explain(error: ValidationError) -> str:
    """The first fault of a validation as one sentence for people."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"A run has no setting called {name!r}."
    plain = _FAULTS.get(first["type"])
    message = plain.format_map(first.get("ctx", {})) if plain else first["msg"].removeprefix("Value error, ")
    if not name:
        return f"{message[0].upper()}{message[1:]}."
    field = RunConfig.model_fields.get(name)
    meaning = f" ({field.description.rstrip('.')})" if field and field.description else ""
    # A fault found by a validator of ours says already what was given.
    given = "" if first["type"] == "value_error" else f", not {first['input']!r}"
    return f"{name.replace('_', ' ').capitalize()}: {message[0].lower()}{message[1:]}{given}.{meaning}".strip()
