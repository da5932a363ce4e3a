"""Choices that go together, and one sentence for those that do not."""

from __future__ import annotations

import pytest

from irtuning.combinations import named_units
from irtuning.config import RunConfig, parse_config
from irtuning.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tuning_method": "rst", "split_num": 1}, "Split num is not used by tuning method rst, only by ir"),
        ({"tuning_method": "ir", "layer_count": 3}, "only by rst, ist, lisa and top-k"),
        ({"tuning_method": "fixed"}, "set layers"),
        ({"tuning_method": "full", "layers": "1"}, "only by fixed"),
        ({"importance_metric_name": "cosine", "refresh_every": 10}, "only by gradient"),
        ({"importance_metric_name": "weight", "selection_unit": "block"}, "whole layers"),
        ({"adapter_name": "bottleneck", "lora_r": 4}, "only by lora and dora"),
        ({"adapter_name": "lora", "bottleneck_width": 4}, "only by bottleneck"),
        ({"split_num": 3}, "Split num"),
        ({"budget": 0.5, "split_num": 2}, "Split num is not used with budget: leave one out"),
        ({"budget": 0.5, "boundary": "exact"}, "Boundary is not used with budget"),
        ({"budget": 0.5, "settle_after": 0.1, "refresh_every": 10}, "Refresh every is not used with settle after"),
        ({"settle_after": 0.1}, "set budget below 1"),
        ({"budget": 1.0}, "less than 1"),
        ({"budget": 0.5, "explore": 0.2}, "Explore is not used with budget: leave one out"),
        ({"budget": 0.7, "cache_prefix": True}, "all train every 4: settle"),
        ({"budget": 0.7, "refresh_every": 10, "cache_prefix": True}, "all train every 10: settle"),
        ({"refresh_every": 10, "cache_prefix": True}, "all train every 10: measure all more rarely"),
        ({"tuning_method": "full", "cache_prefix": True}, "Cache prefix is not used by tuning method full"),
        ({"load_8bit": True, "load_4bit": True}, "not both"),
        ({"cache_prefix": True, "importance_metric_name": "cosine"}, "only by gradient and weight"),
        ({"encoding": "pair", "use_instruction": True}, "without an instruction"),
        ({"encoding": "pair", "instruction": "{before} {after}"}, "without an instruction"),
        ({"tuning_method": "fixed", "layers": "3,0-1", "cache_prefix": True}, "layer 0 is named"),
        ({"budget": 0.5, "settle_after": 0.1, "relative_to": "own-mean"}, "leave one out"),
        ({"tuning_method": "fixed", "layers": "1,5-3"}, "5-3 goes down"),
    ],
)
def test_what_nothing_would_read_is_refused(values, said):
    with pytest.raises(ConfigError, match=said) as found:
        parse_config(values)
    assert str(found.value).count("\n") == 0


@pytest.mark.parametrize(
    "values",
    [
        {"tuning_method": "rst"},
        {"adapter_name": "bottleneck"},
        {"tuning_method": "fixed", "layers": "1-2"},
        {"importance_metric_name": "weight", "tuning_method": "top-k"},
        {"tuning_method": "rst", "refresh_every": 0, "explore": 0.0},
        {"budget": 0.5, "settle_after": 0.1, "cache_prefix": True},
        {"budget": 0.5, "refresh_every": 3},
        {"refresh_every": 11, "cache_prefix": True},
        {"tuning_method": "fixed", "layers": "10,2-3", "cache_prefix": True},
    ],
)
def test_defaults_that_do_not_apply_are_left_out_and_the_resolved_values_stand(values):
    resolved = RunConfig(**values).resolve()
    assert parse_config(resolved.model_dump(exclude_none=True)) == resolved


def test_a_preset_gives_way_to_a_method_that_does_not_read_it():
    config = RunConfig(tuning_method="rst", adapter_name="bottleneck").with_preset("paper").resolve()
    assert (config.split_num, config.lora_r, config.bottleneck_width) == (None, None, 256)
    assert config.learning_rate == 2e-4


def test_units_are_named_singly_or_from_to():
    assert named_units("0,3-5,9") == [0, 3, 4, 5, 9]
    assert named_units("") == named_units("5-3") == []
