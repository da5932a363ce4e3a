"""Floating-point operations of a training step of a Llama with LoRA, counted from shapes. Pure; knows no device.

A product of (tokens, in) with (in, out) is 2 * tokens * in * out operations. With T tokens, r the adapters' rank, and sums
over a layer's seven products (q, k, v, o, gate, up, down) or the five with adapters (all but o and gate):

    forward   layers that are computed   T * sum(2 * in * out) + T * sum(2 * r * (in + out)) + A
              head                       2 * T * hidden * labels
    backward  head's weights             2 * T * hidden * labels; the same again for its input where any layer trains
              every layer above the      as its forward pass, but 2 * A: the gradient of the input, through frozen
              lowest that trains         products and adapters alike
              the lowest that trains     the same, less what only the layer's own input would need: 2 * in * out and
                                         2 * r * in of q, k and v
              each layer that trains     T * sum(2 * r * (in + out)) more, for the adapters' weights

A, attention: each of a row's n * (n + 1) / 2 pairs of query and key costs 4 * heads * head_dim (scores and mixing).
Left out, being no products: embedding, norms, rotation, softmax, loss, optimizer; and what is computed twice, which is
overhead and no work: gradient checkpointing, attention computed again in the backward pass, pairs behind the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A Llama's sizes; `labels` outputs of the classification head."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int
    labels: int = 5

    @property
    def head_dim(self) -> int:
        """Numbers of one head."""
        return self.hidden // self.heads

    @property
    def products(self) -> dict[str, tuple[int, int]]:
        """(in, out) of the products of one layer, by name."""
        wide, narrow = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q": (self.hidden, wide),
            "k": (self.hidden, narrow),
            "v": (self.hidden, narrow),
            "o": (wide, self.hidden),
            "gate": (self.hidden, self.intermediate),
            "up": (self.hidden, self.intermediate),
            "down": (self.intermediate, self.hidden),
        }


ADAPTED = ("q", "k", "v", "up", "down")
OF_INPUT = ("q", "k", "v")
"""Products whose input is the layer's own."""


@dataclass(frozen=True)
class LayerCost:
    """Operations of one layer: of its frozen products, its adapters and its attention, each of one forward pass; and what the
    backward pass of the lowest trained layer is spared."""

    frozen: int
    adapters: int
    attention: int
    spared: int


def layer_cost(shape: Shape, rank: int, lengths: Sequence[int]) -> LayerCost:
    """Of one layer over rows of these lengths, in tokens."""
    tokens, products = sum(lengths), shape.products
    return LayerCost(
        frozen=tokens * sum(2 * i * o for i, o in products.values()),
        adapters=tokens * sum(2 * rank * (i + o) for i, o in (products[name] for name in ADAPTED)),
        attention=sum(4 * shape.heads * shape.head_dim * n * (n + 1) // 2 for n in lengths),
        spared=tokens * sum(2 * i * o + 2 * rank * i for i, o in (products[name] for name in OF_INPUT)),
    )


def step_flops(shape: Shape, rank: int, lengths: Sequence[int], trained: Sequence[int], skipped: int = 0) -> int:
    """Operations of forward and backward pass over rows of these lengths, by the formula above.

    Args:
        lengths: tokens of each row. trained: layers whose adapters train, from 0. skipped: layers that were not computed,
            since what comes out of them was kept; at most the lowest that trains.
    """
    cost = layer_cost(shape, rank, lengths)
    head = 2 * sum(lengths) * shape.hidden * shape.labels
    total = (shape.layers - skipped) * (cost.frozen + cost.adapters + cost.attention) + 2 * head
    if trained:
        reached = shape.layers - min(trained)
        total += head + reached * (cost.frozen + cost.adapters + 2 * cost.attention) - cost.spared
        total += len(trained) * cost.adapters
    return total
