"""Policies by hand-made scores, and what all of them must hold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irtuning.config import RunConfig
from irtuning.errors import ConfigError
from irtuning.tuning.methods import MAKERS, make_policy, named_policy
from irtuning.tuning.policies import DrawnPolicy, FullPolicy, Stack, TopKPolicy
from irtuning.tuning.selection import select_layers
from irtuning.tuning.variance import IRPolicy


def test_the_first_choice_is_random_and_of_the_seed():
    first = [IRPolicy(30, seed=s).choose().layers for s in (1, 1, 2)]
    assert first[0] == first[1] != first[2]


def test_old_scores_are_carried_over_and_unmeasured_layers_count_as_1000():
    policy = IRPolicy(6)
    policy.observe([0.5, None, 0.4, None, None, 0.1])
    assert policy.scores.tolist() == [0.5, 1000, 0.4, 1000, 1000, 0.1]
    assert policy.choose().layers == select_layers([0.5, 1000, 0.4, 1000, 1000, 0.1]).layers
    policy.observe([None, 0.2, None, None, None, None])
    assert policy.scores[0] == 0.5
    assert policy.scores[1] == 0.2


def test_a_choice_carries_its_split():
    policy = IRPolicy(6)
    policy.observe([1, 2, 3, 10, 11, 12])
    (only,) = policy.choose().split
    selection = select_layers([1, 2, 3, 10, 11, 12])
    assert (only.rank, only.low_variance, only.high_variance) == (
        selection.rank,
        selection.low_variance,
        selection.high_variance,
    )
    assert len(IRPolicy(12, splits=2).choose().split) == 2


def test_cosine_trains_the_low_side():
    policy = IRPolicy(6, metric="cosine")
    scores = [0.9, 0.1, 0.91, 0.12, 0.92, 0.11]
    policy.observe(scores)
    assert policy.choose().layers == select_layers(scores, metric="cosine").layers == (1, 5)


@pytest.mark.parametrize(("method", "expected"), [("ir", (1, 5)), ("top-k", (1, 3, 5))])
def test_a_configs_metric_reaches_its_policy(method, expected):
    policy = make_policy(RunConfig(tuning_method=method, importance_metric_name="cosine").resolve(), Stack.plain(6))
    policy.observe([0.9, 0.1, 0.91, 0.12, 0.92, 0.11])
    assert policy.choose().layers == expected


@pytest.mark.parametrize(("layers", "count"), [(6, 1), (12, 1), (32, 4), (80, 10)])
def test_rst_draws_an_eighth_anew_at_every_step(layers, count):
    policy = make_policy(RunConfig(tuning_method="rst").resolve(), Stack.plain(layers))
    drawn = [policy.choose().layers for _ in range(40)]
    assert {len(set(layers)) for layers in drawn} == {count}
    assert len(set(drawn)) > 3
    assert {layer for choice in drawn for layer in choice} <= set(range(layers))


@pytest.mark.parametrize("method", ["rst", "lisa", "ist", "top-k"])
@pytest.mark.parametrize("count", [1, 3, 5, 11])
def test_a_method_that_draws_or_ranks_takes_the_count_it_is_given(method, count):
    policy = make_policy(RunConfig(tuning_method=method, layer_count=count).resolve(), Stack.plain(16))
    policy.observe([float(i) for i in range(16)])
    assert {len(policy.choose().layers) for _ in range(6)} == {count}


def test_lisa_keeps_its_draw_for_its_interval():
    policy = make_policy(RunConfig(tuning_method="lisa", lisa_interval=3, layer_count=2).resolve(), Stack.plain(16))
    drawn = [policy.choose().layers for _ in range(30)]
    assert all(len(set(drawn[i : i + 3])) == 1 for i in range(0, 30, 3))
    assert len(set(drawn)) > 5


def test_top_k_takes_the_highest_and_for_cosine_the_lowest():
    scores = [3.0, 9.0, 1.0, 7.0]
    for metric, expected in (("gradient", (1, 3)), ("weight", (1, 3)), ("cosine", (0, 2))):
        policy = TopKPolicy(4, count=2, metric=metric)
        policy.observe(scores)
        assert policy.choose().layers == expected


def test_fixed_trains_what_it_is_told_and_nothing_else():
    policy = make_policy(RunConfig(tuning_method="fixed", layers="3,1,3").resolve(), Stack.plain(6))
    assert policy.choose().layers == (1, 3)
    policy.observe([9.0] * 6)
    assert policy.choose().layers == (1, 3)


def test_full_trains_all():
    assert FullPolicy(5).choose().layers == (0, 1, 2, 3, 4)
    assert FullPolicy(5).choose().split is None


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"tuning_method": "fixed", "layers": "6"}, "There is no unit 6"),
        ({"tuning_method": "rst", "layer_count": 7}, "There are 6 units"),
        ({"relative_to": "parameters"}, "Each layer of this model has as many adapter parameters"),
    ],
)
def test_units_that_are_not_there_are_refused(config, said):
    with pytest.raises(ConfigError, match=said):
        make_policy(RunConfig(**config).resolve(), Stack.plain(6))


def test_a_method_is_known_by_its_name_alone():
    assert isinstance(named_policy("rst")(Stack.plain(8)), DrawnPolicy)
    with pytest.raises(ValueError, match="policy must be one of ir, rst"):
        named_policy("best")


CONFIGS = [
    {"tuning_method": "ir"},
    {"tuning_method": "ir", "split_num": 2},
    {"tuning_method": "ir", "refresh_every": 4},
    {"tuning_method": "ir", "relative_to": "own-mean", "explore": 0.3},
    {"tuning_method": "ir", "relative_to": "parameters"},
    {"tuning_method": "ir", "budget": 0.7},
    {"tuning_method": "ir", "importance_metric_name": "cosine"},
    {"tuning_method": "rst"},
    {"tuning_method": "ist"},
    {"tuning_method": "full"},
    {"tuning_method": "lisa", "lisa_interval": 4},
    {"tuning_method": "top-k", "explore": 0.5},
    {"tuning_method": "fixed", "layers": "0,2"},
]


UNLIKE = replace(Stack.plain(8), parameters=(1, 2, 1, 2, 3, 1, 2, 4))
"""Eight layers of several sizes."""


def play(policy, steps: int, chance: np.random.Generator) -> list[tuple[int, ...]]:
    """Steps of a made-up training: chosen units get a score, the others none."""
    made = []
    for _ in range(steps):
        if sets := policy.probes():
            policy.reward(chance.random(len(sets)).tolist())
        chosen = policy.choose().layers
        made.append(chosen)
        values = chance.random(8)
        policy.observe([float(values[i]) if i in chosen else None for i in range(8)])
    return made


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: " ".join(str(v) for v in c.values()))
def test_a_state_that_went_through_json_goes_on_as_if_nothing_had_happened(config):
    config = RunConfig(**config).resolve()
    whole = make_policy(config, UNLIKE)
    play(whole, 13, np.random.default_rng(1))
    state = json.loads(json.dumps(whole.state_dict()))
    rest = play(whole, 25, np.random.default_rng(2))
    resumed = make_policy(config, UNLIKE)
    resumed.load_state_dict(state)
    assert play(resumed, 25, np.random.default_rng(2)) == rest


@given(st.sampled_from(CONFIGS), st.integers(0, 1000))
def test_choices_are_distinct_units_in_ascending_order(config, seed):
    policy = make_policy(RunConfig(seed=seed, **config).resolve(), UNLIKE)
    for chosen in play(policy, 24, np.random.default_rng(seed)):
        assert list(chosen) == sorted(set(chosen))
        assert set(chosen) <= set(range(8))


def test_every_method_of_the_config_has_a_policy():
    assert set(MAKERS) == {"ir", "rst", "ist", "full", "lisa", "top-k", "fixed"}
