"""Shared by all tests: tiny random models of many families, a tiny tokenizer, a tiny corpus. Nothing here needs a hub."""

from __future__ import annotations

import json
import os
import random
import time
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.command_line import caller

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:
    # One process a core: each computes on its own, and so do the processes that tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Machines that run tests are shared and noisy: how long an example takes says nothing.
settings.register_profile("studio", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("studio")

WORDS = [
    "the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "sofa", "was", "were",
    "very", "quickly", "however", "because", "it", "and", "big", "small", "red", "blue",
]  # fmt: skip


def pytest_collection_finish(session):
    """What stands by now stays, as in the processes that tests start."""
    from tests import settled  # noqa: F401


@pytest.fixture(autouse=True)
def _own_store(tmp_path, monkeypatch):
    """No test sees the runs of another one or of a person."""
    monkeypatch.setenv("IRTUNING_HOME", str(tmp_path / "runs"))


def make_rows(count: int, seed: int = 0, documents: int = 12) -> list[dict[str, str]]:
    """Learnable rows: a word is added (added), removed (removed) or doubled (doubled)."""
    chance = random.Random(seed)
    rows = []
    for i in range(count):
        words = [chance.choice(WORDS) for _ in range(chance.randint(4, 9))]
        at = chance.randrange(len(words))
        label = ("added", "removed", "doubled")[i % 3]
        after = {
            "added": [*words[:at], "new", *words[at:]],
            "removed": words[:at] + words[at + 1 :],
            "doubled": [*words[:at], words[at], *words[at:]],
        }[label]
        rows.append(
            {"before": " ".join(words), "after": " ".join(after), "label": label, "doc_id": f"d{i % documents}"}
        )
    return rows


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory) -> Path:
    """A local folder corpus: 96 rows to train on, 24 to validate, 24 to test, documents apart."""
    folder = tmp_path_factory.mktemp("tiny-corpus")
    for part, count, seed in (("train", 96, 1), ("validation", 24, 2), ("test", 24, 3)):
        rows = [{**row, "doc_id": f"{part}-{row['doc_id']}"} for row in make_rows(count, seed)]
        write_jsonl(folder / f"{part}.jsonl", rows)
    return folder


def tiny_tokenizer():
    """Words and single characters of ASCII; enough for any text a test uses."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = ["<pad>", "<unk>", "<s>", "</s>", *WORDS, "new", *(chr(c) for c in range(33, 127))]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(dict.fromkeys(vocabulary))}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=256,
    )


_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 160,
    "pad_token_id": 0,
    "max_position_embeddings": 256,
}
FAMILIES: dict[str, dict] = {
    "llama": {**_SMALL, "num_key_value_heads": 2},
    "mistral": {**_SMALL, "num_key_value_heads": 2},
    "qwen2": {**_SMALL, "num_key_value_heads": 2},
    "qwen3": {**_SMALL, "num_key_value_heads": 2, "head_dim": 8},
    "phi": _SMALL,
    "phi3": {**_SMALL, "num_key_value_heads": 2},
    "gemma": {**_SMALL, "num_key_value_heads": 2, "head_dim": 8},
    "gemma2": {**_SMALL, "num_key_value_heads": 2, "head_dim": 8},
    "gemma3_text": {**_SMALL, "num_key_value_heads": 2, "head_dim": 8},
    # A model that also sees: its text layers stand in a part of its config, beside a stack for pictures.
    "gemma3": {
        "text_config": {**_SMALL, "num_key_value_heads": 2, "head_dim": 8},
        "vision_config": {**_SMALL, "num_hidden_layers": 3, "image_size": 16, "patch_size": 8},
        "mm_tokens_per_image": 4,
    },
    "gpt2": {"n_embd": 32, "n_layer": 4, "n_head": 4, "vocab_size": 160, "pad_token_id": 0, "n_positions": 256},
    "gpt_neox": _SMALL,
    "opt": {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "ffn_dim": 64,
        "vocab_size": 160,
        "pad_token_id": 0,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 256,
    },
    "bert": _SMALL,
    "roberta": {**_SMALL, "max_position_embeddings": 300},
    "distilbert": {"dim": 32, "n_layers": 4, "n_heads": 4, "hidden_dim": 64, "vocab_size": 160, "pad_token_id": 0},
    "deberta-v2": {
        **_SMALL,
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
    },
    "modernbert": {
        **_SMALL,
        "global_attn_every_n_layers": 2,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
}


def tiny_model(family: str, labels: int = 3, layers: int = 4, seed: int = 0):
    """A random model of a family for sequence classification, built from its config."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(seed)
    values = deepcopy(FAMILIES[family])
    text = values.get("text_config", values)
    for key in ("num_hidden_layers", "n_layer", "n_layers"):
        if key in text:
            text[key] = layers
    config = AutoConfig.for_model(family, num_labels=labels, **values)
    return AutoModelForSequenceClassification.from_config(config)


def with_adapter(model, adapter: str = "lora"):
    """The model with small adapters of a kind in every layer, nothing dropped."""
    from irtuning.config import RunConfig
    from irtuning.tuning.adapters import add_adapter

    sizes = {"bottleneck_width": 4} if adapter == "bottleneck" else {"lora_r": 2, "lora_alpha": 4, "lora_dropout": 0.0}
    return add_adapter(model, RunConfig(adapter_name=adapter, **sizes))


@pytest.fixture(scope="session")
def model_dirs(tmp_path_factory):
    """A function from a family to a local folder that holds a tiny random model of it, with its tokenizer."""
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp("models") / f"tiny-{family}"
            tiny_model(family).save_pretrained(made[family])
            tiny_tokenizer().save_pretrained(made[family])
        return made[family]

    return folder


@pytest.fixture
def until():
    """Waits until something holds; fails after some seconds."""

    def wait(holds, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError("waited in vain")
            time.sleep(0.02)

    return wait


@pytest.fixture
def call(capsys):
    """A function that runs a command in this process, as `command_line.caller` tells."""
    return caller(capsys)


@pytest.fixture
def small(model_dirs, corpus_dir):
    """Flags of a run of seconds; other values win."""

    def flags(**changed) -> list[str]:
        values = {
            "model-name": model_dirs("bert"), "dataset-name": corpus_dir, "max-steps": 4, "batch-size": 8,
            "max-length": 64, "warmup-steps": 1, **{name.replace("_", "-"): value for name, value in changed.items()},
        }  # fmt: skip
        return [part for name, value in values.items() for part in (f"--{name}", str(value))]

    return flags


@pytest.fixture(scope="session")
def adapter(tmp_path_factory, model_dirs, corpus_dir):
    """An adapter of three steps on the tiny corpus, in a run's folder that knows where its model lies."""
    from irtuning.config import RunConfig
    from irtuning.tuning.training import train

    folder = tmp_path_factory.mktemp("run")
    config = RunConfig(
        model_name=str(model_dirs("llama")), dataset_name=str(corpus_dir), max_steps=3, batch_size=8, max_length=64
    )
    train(config, output_dir=folder / "adapter")
    # The folder of a run made from a local model knows where that is.
    (folder / "private.json").write_text(f'{{"model_path": "{model_dirs("llama")}"}}')
    return folder / "adapter"
