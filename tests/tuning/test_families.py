"""Families beside those of every other test: each gets adapters on attention and MLP of every layer, and trains."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from irtuning.errors import ModelError
from irtuning.tuning.callback import LayerwiseCallback
from irtuning.tuning.importance import weight_scores
from irtuning.tuning.layers import find_layers, layer_modules
from irtuning.tuning.projections import is_attention_input
from tests.conftest import with_adapter
from tests.tuning.test_callback import trainer

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 160,
    "pad_token_id": 0, "max_position_embeddings": 256,
}  # fmt: skip
GPT = {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 160, "pad_token_id": 0, "n_positions": 256}
OTHERS: dict[str, dict] = {
    "gptj": {**GPT, "rotary_dim": 8},
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4, "vocab_size": 160, "pad_token_id": 0},
    "falcon": {**SMALL, "new_decoder_architecture": False},
    "gpt_neo": {**SMALL, "num_layers": 3, "num_heads": 4, "attention_types": [[["global"], 3]]},
    "mpnet": SMALL,
    "electra": {**SMALL, "embedding_size": 32},
    "deberta": {**SMALL, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    # As version 3 shares its keys between content and position.
    "deberta-v2": {**SMALL, "relative_attention": True, "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    "xlm-roberta": SMALL,
    "olmo2": {**SMALL, "num_key_value_heads": 2},
    # Reads pictures, too, and most of its layers have an attention without query, key and value of their own.
    "qwen3_5": {
        "text_config": {
            **SMALL, "num_key_value_heads": 2, "head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 2,
            "linear_key_head_dim": 8, "linear_value_head_dim": 8,
            "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        },
        "vision_config": {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 32},
    },
}  # fmt: skip


def tiny(family: str, values: dict):
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, num_labels=3, **values))


def test_importance_by_weight_reads_the_output_of_attention_and_no_other_way_in():
    layers = layer_modules(tiny("qwen3_5", OTHERS["qwen3_5"]))[1]
    outputs = [layers[0].linear_attn.out_proj, layers[1].self_attn.o_proj, layers[2].linear_attn.out_proj]
    assert weight_scores(layers) == pytest.approx([float(module.weight.norm()) for module in outputs], rel=1e-5)
    mobile = layer_modules(tiny("mobilebert", {**SMALL, "embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16}))[1]
    expected = [float(layer.attention.output.dense.weight.norm()) for layer in mobile]
    assert weight_scores(mobile) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("family", OTHERS)
def test_every_layer_has_adapters_on_attention_and_mlp_and_trains(tmp_path, family):
    model = with_adapter(tiny(family, OTHERS[family]))
    layers = find_layers(model)
    assert len(layers) == 3
    for layer in layers:
        adapted = {path.split(".lora_")[0] for path, _ in layer.parameters}
        attention = {path for path in adapted if is_attention_input(path)}
        assert attention
        assert adapted - attention
    steps = []
    trainer(tmp_path, [LayerwiseCallback("ir", emit=steps.append)], model=model, max_steps=3, remove_unused_columns=False).train()
    assert all(step.moved == step.selected and step.loss == step.loss for step in steps[1:])


@pytest.mark.parametrize(("family", "values"), [
    ("bart", {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
              "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "vocab_size": 160, "max_position_embeddings": 64}),
    ("t5", {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_kv": 8, "d_ff": 32, "vocab_size": 160}),
])  # fmt: skip
def test_two_stacks_of_layers_are_refused_in_a_sentence(family, values):
    with pytest.raises(ModelError, match="two stacks of layers"):
        with_adapter(tiny(family, values))


def test_layers_that_differ_from_the_first_one_get_adapters_of_their_own():
    model = tiny("olmo2", OTHERS["olmo2"])
    model.model.layers[0].mlp = torch.nn.Identity()
    found = [any(".mlp." in path for path, _ in layer.parameters) for layer in find_layers(with_adapter(model))]
    assert found == [False, True, True]


def test_what_peft_cannot_adapt_is_refused_in_a_sentence():
    values = {
        **SMALL, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
        "first_k_dense_replace": 3, "num_key_value_heads": 4,
    }  # fmt: skip
    with pytest.raises(ModelError, match="peft cannot put lora adapters into this model"):
        with_adapter(tiny("deepseek_v3", values))
