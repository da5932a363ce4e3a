"""RunConfig: every choice of a run, as one frozen value. Flags, form and JSON derive from it.

Nothing here touches a disk or a device. What nobody set is None in a request; `resolve` fills it in from the catalogue.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from irtuning import catalogue
from irtuning.errors import ConfigError

Finite = Annotated[float, Field(allow_inf_nan=False)]


class RunConfig(BaseModel):
    """Every choice of a run. None: take what works best for the chosen model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_name: str | None = Field(None, description="Base model: a catalogue name, a hub id or a local folder.")
    dataset_name: str | None = Field(
        None, description="Corpus: a catalogue name, a hub id, or a local folder or file (.jsonl, .csv, .tsv, .xlsx)."
    )
    adapter_name: Literal["lora"] | None = Field(None, description="Kind of adapter put into every layer.")
    importance_metric_name: Literal["gradient"] | None = Field(
        None, description="What makes a layer important: the norms of its adapters' gradients."
    )
    tuning_method: Literal["ir", "full"] | None = Field(
        None, description="Which layers train: ir splits them by importance at every step, full trains all."
    )
    split_num: int | None = Field(None, ge=1, le=4, description="How many times the chosen side is split again.")
    boundary: Literal["reference", "exact"] | None = Field(
        None,
        description="Where the split falls: reference trains one layer more than the variance's minimum, exact does not.",
    )
    use_instruction: bool | None = Field(
        None, description="Put the pair into an instruction that names the possible intentions."
    )
    encoding: Literal["marked", "pair", "text"] | None = Field(
        None,
        description="Input without an instruction: marked is the text once with its changes marked, pair and text give both texts.",
    )
    max_length: int | None = Field(
        None, ge=1, le=8192, description="Longest input in tokens; a longer pair is cut around its change."
    )
    lora_r: int | None = Field(None, ge=1, le=1024, description="Rank of the LoRA adapters.")
    lora_alpha: Finite | None = Field(
        None, gt=0, description="LoRA's scaling numerator: updates are scaled by alpha / r."
    )
    lora_dropout: Finite | None = Field(None, ge=0, lt=1, description="Dropout before the LoRA adapters, a fraction.")
    warmup_steps: int | None = Field(None, ge=0, description="Steps in which the learning rate rises from 0.")
    batch_size: int | None = Field(None, ge=1, le=4096, description="Pairs a step: per-device size times accumulation.")
    per_device_train_batch_size: int | None = Field(None, ge=1, description="Pairs a device takes at once.")
    gradient_accumulation_steps: int | None = Field(None, ge=1, description="Batches whose gradients make one step.")
    tokens_per_micro_batch: int | None = Field(
        None, ge=64, description="Most tokens, padding included, in one forward pass; a batch above it is cut further."
    )
    num_train_epochs: Finite | None = Field(None, gt=0, le=1000, description="Passes over the training rows.")
    max_steps: int | None = Field(
        None, ge=1, description="Stop after this many steps, whatever the epochs; unset: the epochs decide."
    )
    learning_rate: Finite | None = Field(None, gt=0, le=1, description="Highest learning rate of AdamW.")
    weight_decay: Finite | None = Field(None, ge=0, le=1, description="AdamW's weight decay.")
    max_grad_norm: Finite | None = Field(
        None, ge=0, description="Gradients are clipped to this L2 norm, after they were measured; 0: not clipped."
    )
    logging_steps: int | None = Field(None, ge=1, description="Steps between two progress lines on the terminal.")
    seed: int | None = Field(None, ge=0, le=2**31 - 1, description="Seed of everything random.")
    device: Literal["auto", "cpu", "cuda", "mps"] | None = Field(
        None, description="Where to train; auto takes the fastest."
    )
    dtype: Literal["auto", "float32", "bfloat16"] | None = Field(
        None, description="Numbers of the frozen model; auto takes bfloat16 where the device computes in it."
    )
    before_column: str | None = Field(None, description="Column of the text before; unset: `before`.")
    after_column: str | None = Field(None, description="Column of the text after; unset: `after`.")
    label_column: str | None = Field(None, description="Column of the intention; unset: `label`.")
    doc_column: str | None = Field(
        None, description="Column of the document or writer; unset: `doc_id` where there is one."
    )

    @model_validator(mode="after")
    def _batches_multiply(self) -> RunConfig:
        whole, part, times = self.batch_size, self.per_device_train_batch_size, self.gradient_accumulation_steps
        if whole and part and times and whole != part * times:
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
            ConfigError: no preset has this name.
        """
        preset = catalogue.PRESETS.get(name)
        if preset is None:
            raise ConfigError(f"There is no preset {name!r}.", f"Choose one of {', '.join(catalogue.PRESETS)}.")
        return parse_config({**preset.values, **self.model_dump(exclude_none=True)})

    def resolve(self) -> RunConfig:
        """This request with every choice filled in that has a default (`max_steps` and the columns may stay None)."""
        base = self if self.model_name else self.with_preset(catalogue.DEFAULT_PRESET)
        known = base.model_dump(exclude_none=True)
        values = {"dataset_name": catalogue.DEFAULT_CORPUS, **catalogue.defaults_for(base.model_name or ""), **known}
        times, part = known.get("gradient_accumulation_steps"), known.get("per_device_train_batch_size")
        if "batch_size" not in known and (times or part):
            values["batch_size"] = (part or values["batch_size"]) * (times or 1)
        whole = values["batch_size"]
        if part is None and times is None:
            values["per_device_train_batch_size"], values["gradient_accumulation_steps"] = whole, 1
        elif part is None:
            values["per_device_train_batch_size"] = whole // times
        elif times is None:
            values["gradient_accumulation_steps"] = whole // part
        return parse_config(values)


def parse_config(values: dict[str, Any]) -> RunConfig:
    """A RunConfig from plain values, e.g. of JSON or a form.

    Raises:
        ConfigError: a value cannot be right; the message names the first such field and what it takes.
    """
    try:
        return RunConfig(**values)
    except ValidationError as error:
        raise ConfigError(explain(error)) from None


def explain(error: ValidationError) -> str:
    """The first fault of a validation as one sentence for people."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"A run has no setting called {name!r}."
    message = first["msg"].removeprefix("Value error, ")
    if not name:
        return f"{message[0].upper()}{message[1:]}."
    field = RunConfig.model_fields.get(name)
    meaning = f" ({field.description.rstrip('.')})" if field and field.description else ""
    return f"{name.replace('_', ' ').capitalize()}: {message[0].lower()}{message[1:]}, not {first['input']!r}.{meaning}".strip()
