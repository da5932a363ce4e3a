"""Pairs as tokens, by tokenizers that part two texts and by those that do not."""

from __future__ import annotations

import shutil

import pytest
from tokenizers import Regex, pre_tokenizers, processors

from irtuning.classify import Classifier
from irtuning.config import RunConfig
from irtuning.tuning.tokens import separates
from irtuning.tuning.training import train
from tests.conftest import tiny_tokenizer


def joining():
    """A tokenizer that keeps white space and puts nothing around or between texts, as those of many decoders."""
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s"), "isolated")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    return tokenizer


@pytest.mark.parametrize(
    ("made", "template"), [(joining, "{before}\n{pair}{after}"), (tiny_tokenizer, "{before}{pair}{after}")]
)
def test_an_addition_and_a_deletion_are_two_inputs_whatever_the_tokenizer(tmp_path, model_dirs, corpus_dir, made, template):
    tokenizer = made()
    assert separates(tokenizer) is ("\n" not in template)
    base = shutil.copytree(model_dirs("llama"), tmp_path / "base")
    tokenizer.save_pretrained(base)
    config = RunConfig(
        model_name=str(base), dataset_name=str(corpus_dir), max_steps=1, batch_size=4, device="cpu", max_length=64, encoding="pair",
    )  # fmt: skip
    train(config, output_dir=tmp_path / "adapter")
    classifier = Classifier(tmp_path / "adapter", device="cpu", base=base)
    assert classifier.origin.encoding["template"] == template
    (added, removed), _ = classifier._tokenise([("", "cat"), ("cat", "")])
    assert added["input_ids"] != removed["input_ids"]
