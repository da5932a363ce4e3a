"""What families call the projections of their layers, and how adapters' tensors begin. Names only."""

from __future__ import annotations

ATTENTION = (
    "q_proj",
    "k_proj",
    "v_proj",
    "query",
    "key",
    "value",
    "q_lin",
    "k_lin",
    "v_lin",
    "query_proj",
    "key_proj",
    "value_proj",
    "query_key_value",
    "qkv_proj",
    "c_attn",
    "Wqkv",
    "Wq",
    "Wk",
    "Wv",
    "attn.q",
    "attn.k",
    "attn.v",
    "self.in_proj",
    "in_proj_qkv",
    "q_a_proj",
    "q_b_proj",
    "kv_a_proj_with_mqa",
    "kv_b_proj",
)
"""Names that families give to the projections of query, key and value, in two parts where they are of low rank."""
MLP = (
    "up_proj",
    "down_proj",
    "gate_up_proj",
    "fc1",
    "fc2",
    "fc_in",
    "fc_out",
    "ffn.0",
    "ffn.2",
    "lin1",
    "lin2",
    "dense_h_to_4h",
    "dense_4h_to_h",
    "c_fc",
    "mlp.c_proj",
    "mlp.Wi",
    "mlp.Wo",
    "intermediate.dense",
    "output.dense",
)
"""Names that families give to the projections up and down of the MLP."""


ADAPTER_PREFIXES = ("lora_", "bottleneck_")
"""What a part of the path of each of an adapter's own tensors and modules begins with."""


def in_adapter(path: str) -> bool:
    """Whether a path in the model leads into an adapter."""
    return any(part.startswith(ADAPTER_PREFIXES) for part in path.split("."))


def adapted_module(path: str) -> str:
    """Path of the module that an adapter's tensor belongs to."""
    parts = path.split(".")
    end = next((i for i, part in enumerate(parts) if part.startswith(ADAPTER_PREFIXES)), len(parts))
    return ".".join(parts[:end])


def is_attention_input(name: str) -> bool:
    """Whether a module's path below its layer is that of query, key or value."""
    return _ends_with(name, ATTENTION)


def is_adapted(name: str) -> bool:
    """Whether it is q, k, v, up or down, and so gets an adapter."""
    return not name.startswith("attention.output.") and _ends_with(name, ATTENTION + MLP)


def _ends_with(name: str, wanted: tuple[str, ...]) -> bool:
    return any(name == one or name.endswith("." + one) for one in wanted)
