"""What padding costs, and how a batch is best cut: `python -m tests.benchmarks.cutting MODEL CORPUS [--batches 16] [--rounds 3]`.

The same rows forwards and backwards in batches of similar length and in random ones, in parts cut for several prices of a pass, with
padding computed and left out, in sizes as they come and in those of a grain. The ways take turns; of each the shortest round counts,
in which sizes were met before, as many as oneDNN keeps kernels of; beside it stands the first, in which only the ways above it may
have met them. Knows no training loop.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch

from irtuning.config import RunConfig
from irtuning.revisions.corpora import load_corpus
from irtuning.tuning.batches import ANY, Grain, Row, collate, micro_batches, shuffled
from irtuning.tuning.dropping import QuickDropout
from irtuning.tuning.padding import Padding
from irtuning.tuning.passes import passes_on
from irtuning.tuning.predicting import autocast
from irtuning.tuning.preparing import Prepared, prepare
from tests.benchmarks.telling import told

PRICES = (16, 32, 64, 128, 256, 1024)
"""What a pass may cost beside its tokens, in tokens."""
GRAIN = passes_on("cpu", torch.bfloat16, 2**31).grain
Way = tuple[str, int, bool, Grain]
"""(batches, price of a pass, padding is left out, sizes of passes)."""
WAYS: list[Way] = [
    *(("similar length", 1024, left_out, ANY) for left_out in (False, True)),
    *(("random", price, False, GRAIN) for price in PRICES),
    *(("random", price, left_out, ANY) for left_out in (False, True) for price in PRICES),
]


def cut(lengths: Sequence[int], size: int) -> dict[str, list[list[int]]]:
    """The same rows in whole batches of `size`, either way; what is left over is left out."""
    count = len(lengths) // size * size
    order = shuffled(len(lengths), 1, 0)[:count]
    sorts = {"similar length": sorted(order, key=lambda i: lengths[i]), "random": order}
    return {kind: [rows[i : i + size] for i in range(0, count, size)] for kind, rows in sorts.items()}


def compare(config: RunConfig, batches: int, rounds: int) -> list[dict[str, Any]]:
    """One a way: {"batches", "price", "left_out", "grain" ((rows, tokens)), "first" (round's seconds), "seconds", "ratio" (to the first
    way), "parts" (a batch), "sizes" (that passes had)}.

    Raises:
        StudioError: model or corpus cannot be had.
    """
    config = config.resolve()
    prepared = prepare(config, load_corpus(config.dataset_name or ""), lambda event: None, lambda: None)
    model = prepared.model
    rows = prepared.rows["train"][: batches * config.batch_size]
    padding = Padding(model, rows, prepared.tokenizer.pad_token_id, prepared.device.torch_dtype)
    cuts = cut([len(row["input_ids"]) for row in rows], config.batch_size)
    model.train()
    _passed(prepared, config.tokens_per_micro_batch, rows, cuts["random"][:1], WAYS[0], padding)
    first: dict[Way, float] = {}
    found: dict[Way, tuple[float, list[tuple[int, int]]]] = {}
    for turn in range(rounds + 1):
        for way in WAYS:
            took = _passed(prepared, config.tokens_per_micro_batch, rows, cuts[way[0]], way, padding)
            if turn:
                found[way] = min(took, found.get(way, took))
            else:
                first[way] = took[0]
    shortest = found[WAYS[0]][0]
    return [
        {"batches": way[0], "price": way[1], "left_out": way[2] and padding.is_left_out, "grain": (way[3].rows, way[3].tokens),
         "first": first[way], "seconds": seconds, "ratio": seconds / shortest, "parts": len(sizes) / len(cuts[way[0]]),
         "sizes": len(set(sizes))}
        for way, (seconds, sizes) in found.items()
    ]  # fmt: skip


def _passed(
    prepared: Prepared, most_tokens: int, rows: Sequence[Row], batches: Sequence[list[int]], way: Way, padding: Padding
) -> tuple[float, list[tuple[int, int]]]:
    """Seconds, and (rows, places) of each pass."""
    sizes, device = [], prepared.device.torch_device
    grain = replace(way[3], longest=prepared.encoding.max_length)
    began = _now(device)
    for batch in batches:
        lengths = [len(rows[i]["input_ids"]) for i in batch]
        for part in micro_batches(lengths, most_tokens, way[1], grain):
            inputs = collate([rows[batch[i]] for i in part], prepared.tokenizer.pad_token_id, grain)
            sizes.append(tuple(inputs["input_ids"].shape))
            with padding.left_out([lengths[i] for i in part]) if way[2] else nullcontext():
                with autocast(device, prepared.device.torch_dtype), QuickDropout():
                    loss = prepared.model(**{key: value.to(device) for key, value in inputs.items()}).loss
                (loss * len(part) / len(batch)).backward()
        prepared.model.zero_grad()
    return _now(device) - began, sizes


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def table(found: Sequence[dict[str, Any]]) -> str:
    """For people."""
    lines = [f"{'batches':16} {'price':>6} {'padding':>9} {'grain':>6} {'first':>8} {'seconds':>8} {'ratio':>6} {'parts':>6} {'sizes':>6}"]
    lines += [
        f"{way['batches']:16} {way['price']:6} {'left out' if way['left_out'] else 'computed':>9} {'{}x{}'.format(*way['grain']):>6}"
        f" {way['first']:8.2f} {way['seconds']:8.2f} {way['ratio']:6.2f} {way['parts']:6.2f} {way['sizes']:6}"
        for way in found
    ]
    return "\n".join(lines)


def main() -> None:
    """Prints the table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="auto")
    asked = parser.parse_args()
    config = RunConfig(model_name=asked.model, dataset_name=asked.corpus, tuning_method="full", dtype=asked.dtype)
    told(lambda: compare(config, asked.batches, asked.rounds), table)


if __name__ == "__main__":
    main()
