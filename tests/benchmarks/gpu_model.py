"""What the benchmark for GPUs trains: a Llama of a given shape and rows, both random; the rows' lengths are a corpus's.

Knows neither methods nor times.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, LlamaConfig

from irtuning.config import RunConfig
from irtuning.revisions.corpora import load_corpus
from irtuning.revisions.encoding import make_encoding
from irtuning.tuning.batches import Row
from irtuning.tuning.layers import layer_modules
from irtuning.tuning.models import load_tokenizer
from irtuning.tuning.quantised import settle
from irtuning.tuning.tokens import tokenise
from irtuning.tuning.weights import find_weights
from tests.benchmarks.flops import Shape

PAD = 0


def random_model(shape: Shape, *, device: torch.device, dtype: torch.dtype, seed: int) -> nn.Module:
    """A random Llama with a classification head, made on the device in its own numbers: no weight is ever float32 first."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        vocab_size=shape.vocabulary,
        max_position_embeddings=4096,
        num_labels=shape.labels,
        pad_token_id=PAD,
    )
    with device:
        return AutoModelForSequenceClassification.from_config(config, dtype=dtype)


def quantise(model: nn.Module, bits: int, dtype: torch.dtype) -> None:
    """Replaces the linear modules of all layers by those of bitsandbytes, one after the other; 8 or 4 bits (nf4)."""
    import bitsandbytes as bnb

    _, layers = layer_modules(model)
    for layer in layers:
        for path, old in [(p, m) for p, m in layer.named_modules() if isinstance(m, nn.Linear)]:
            weight, device = old.weight.data.cpu(), old.weight.device
            sizes = {"bias": False, "device": "meta"}
            if bits == 8:
                new = bnb.nn.Linear8bitLt(old.in_features, old.out_features, has_fp16_weights=False, threshold=6.0, **sizes)
                new.weight = bnb.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
            else:
                new = bnb.nn.Linear4bit(
                    old.in_features, old.out_features, compute_dtype=dtype, compress_statistics=True, quant_type="nf4", **sizes
                )
                new.weight = bnb.nn.Params4bit(weight, requires_grad=False, compress_statistics=True, quant_type="nf4")
            parent, _, name = path.rpartition(".")
            setattr(layer.get_submodule(parent), name, new.to(device))
    settle(model)
    # By this peft knows which kind of adapter to put beside them.
    setattr(model, f"is_loaded_in_{bits}bit", True)


def corpus_lengths(corpus: str, config: RunConfig, count: int) -> list[int]:
    """Tokens of `count` random training rows (all, where there are fewer), encoded as a decoder's, by the embedded tokenizer.

    Raises:
        StudioError: the corpus or the embedded model's package cannot be had.
    """
    texts = load_corpus(corpus)
    order = torch.randperm(len(texts.train), generator=torch.Generator().manual_seed(config.seed)).tolist()
    encoding = make_encoding(
        use_instruction=bool(config.use_instruction),
        is_decoder=True,
        labels=texts.labels,
        max_length=config.max_length,
        kind=None if config.use_instruction else config.encoding,
        instruction=None,
    )
    pairs = [(texts.train[i].before, texts.train[i].after) for i in order[:count]]
    rows, _ = tokenise(pairs, encoding, load_tokenizer(find_weights("minilm", use_instruction=False)))
    return [len(row["input_ids"]) for row in rows]


def random_rows(lengths: Sequence[int], shape: Shape, seed: int) -> list[Row]:
    """Rows of random tokens, none of them padding, and random labels."""
    chance = torch.Generator().manual_seed(seed)
    return [
        {
            "input_ids": torch.randint(PAD + 1, shape.vocabulary, (n,), generator=chance).tolist(),
            "attention_mask": [1] * n,
            "labels": int(torch.randint(shape.labels, (), generator=chance)),
        }
        for n in lengths
    ]
