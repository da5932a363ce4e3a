"""What feeds a stack of layers, mostly the embeddings: found by trying, and let rest where nobody looks at what enters the stack.

Knows neither which layers rest nor what is kept of them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import nn


class _Enough(Exception):
    """Ends a pass of which no more is needed."""


class Entrance:
    """The module whose output enters the lowest layer as it is. Where something lies between, nothing ever rests.

    Args:
        body: is called with `input_ids` and `attention_mask`. layers: its layers, input first.
    """

    def __init__(self, body: nn.Module, layers: nn.ModuleList) -> None:
        self._body, self._layers = body, layers
        self._module: nn.Module | None = None
        self._found: torch.Tensor | None = None

    def look(self) -> None:
        """Looks for it, once, by a pass of two tokens that ends at the stack; what that draws at random is put back.

        To be called where passes are computed in the numbers that they will have.
        """
        if self._found is not None:
            return
        given: list[tuple[nn.Module, Any]] = []
        arrived: list[torch.Tensor] = []

        def enters(layer: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
            arrived.append(args[0] if args else inputs["hidden_states"])
            raise _Enough

        inside = {id(module) for layer in self._layers for module in layer.modules()} | {id(self._body), id(self._layers)}
        hooks = [
            module.register_forward_hook(lambda module, args, output: given.append((module, output)))
            for module in self._body.modules()
            if id(module) not in inside
        ]
        hooks.append(self._layers[0].register_forward_pre_hook(enters, with_kwargs=True))
        device = next(self._layers.parameters()).device
        tokens = torch.ones(1, 2, dtype=torch.long, device=device)
        try:
            with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []), suppress(_Enough):
                self._body(input_ids=tokens, attention_mask=tokens)
        finally:
            for hook in hooks:
                hook.remove()
        (self._found,) = arrived
        # Of a module and the one around it, the outer one ends last.
        self._module = next((module for module, output in reversed(given) if output is self._found), None)

    def rest(self, rows: int) -> None:
        """Lets it give zeros for passes over so many rows."""
        if self._module is None or self._found is None:
            return
        like = self._found

        def forward(*args: Any, **kwargs: Any) -> torch.Tensor:
            given = next(v for v in (*args, *kwargs.values()) if isinstance(v, torch.Tensor) and v.dim() > 1)
            return like.new_zeros(rows, given.shape[1], like.shape[2])

        self._module.forward = forward

    def work(self) -> None:
        """Lets it work again."""
        if self._module is not None:
            vars(self._module).pop("forward", None)
