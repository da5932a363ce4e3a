"""The comparison of ways to cut a batch: both kinds of batches hold the same rows, and each way computes them all."""

from __future__ import annotations

from irtuning.config import RunConfig
from irtuning.tuning.batches import Grain
from tests.benchmarks.cutting import WAYS, compare, cut, table


def test_either_way_the_rows_are_the_same_and_only_one_sorts_them():
    lengths = [5 + i * 7 % 31 for i in range(70)]
    found = cut(lengths, 8)
    assert [len(batches) for batches in found.values()] == [8, 8]
    similar, random = ([i for batch in batches for i in batch] for batches in found.values())
    assert sorted(similar) == sorted(random)
    assert [lengths[i] for i in similar] == sorted(lengths[i] for i in random)
    assert similar != random


def test_each_way_is_timed_on_a_model(model_dirs, corpus_dir):
    config = RunConfig(
        model_name=str(model_dirs("llama")), dataset_name=str(corpus_dir), batch_size=8, lora_r=2, lora_dropout=0.0, tuning_method="full"
    )
    found = compare(config, batches=2, rounds=1)
    assert [(way["batches"], way["price"], way["left_out"], Grain(*way["grain"])) for way in found] == WAYS
    assert found[0]["ratio"] == 1.0
    assert all(way["seconds"] > 0 and way["first"] > 0 for way in found)
    dear, cheap = (
        next(w for w in found if (w["batches"], w["price"], w["grain"]) == ("random", price, (1, 1))) for price in (1024, 16)
    )
    assert dear["parts"] == 1 <= cheap["parts"]
    assert table(found).count("\n") == len(WAYS)
