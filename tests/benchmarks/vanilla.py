"""A prepared model as anybody would have it: peft's own layers, untouched by ours. Knows no training loop."""

from __future__ import annotations

from peft.tuners.lora import Linear

from irtuning.config import RunConfig
from irtuning.revisions.corpora import Corpus
from irtuning.tuning.preparing import Prepared, prepare


def prepare_plain(config: RunConfig, corpus: Corpus) -> Prepared:
    """As `prepare` of a resolved config, with LoRA's product and attention as the libraries compute them."""
    prepared = prepare(config, corpus, lambda event: None, lambda: None)
    for module in prepared.model.modules():
        if isinstance(module, Linear):
            module.__class__ = Linear
    prepared.model.get_base_model().set_attn_implementation("sdpa")
    return prepared
