from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.insight.estimate import Measured, Sizes, estimate, mean_tokens, measured
from irtuning.insight.machine import Machine

TWO_CORES = Machine("cpu", "2 CPU cores", "bfloat16", 2, 8.0, None)
GPU = Machine("cuda", "A GPU", "bfloat16", 16, 64.0, 80.0)
STARTER = Sizes(train=400, validation=80, test=120, mean_tokens=60.0)


def config(**values):
    fixed = {"num_train_epochs": 3, "batch_size": 16, "max_length": 256, "tokens_per_micro_batch": 2048}
    return RunConfig(model_name="smollm2-135m", **{**fixed, **values}).resolve()


def step(seconds, tokens, memory=500.0):
    return {"kind": "step", "seconds": seconds, "tokens": tokens, "memory_mib": memory}


def test_speed_is_the_median_second_for_a_thousand_tokens_without_the_first_steps():
    events = [step(60, 10), step(60, 10), step(60, 10), *[step(2.0, 1000)] * 4, step(4.0, 1000, memory=700.0), {"kind": "notice"}]
    assert measured(events) == Measured(seconds_per_1000=2.0, peak_memory_mib=700.0)


def test_a_handful_of_steps_is_no_measurement():
    assert measured([step(1, 10)] * 7) is None
    assert measured([]) is None


def test_what_was_measured_here_wins_and_is_no_guess():
    guessed = estimate(config(), STARTER, TWO_CORES)
    known = estimate(config(), STARTER, TWO_CORES, Measured(4.0, 2048.0))
    assert guessed.guess
    assert not known.guess
    assert known.memory_gib == 2.0
    # 75 steps of 16 pairs of 60 tokens at 4 s a thousand are 288 s; reading adds a third of what it reads.
    assert 288 < known.seconds < 400


def test_the_table_is_near_what_was_measured_on_two_cores():
    # field: 1,400 tokens a step take 3.2 s with all layers; 1,024 tokens at once fill 1.9 GB, 2,048 some 3.3 GB.
    whole = estimate(config(max_steps=100, batch_size=16), replace(STARTER, validation=0, test=0), TWO_CORES)
    assert 150 < whole.seconds < 320
    long = estimate(config(max_length=128), replace(STARTER, mean_tokens=128.0), TWO_CORES)
    assert 2.6 < long.memory_gib < 4.0


@pytest.mark.parametrize(("dtype", "took"), [("bfloat16", 73), ("float32", 102)])
def test_the_first_guess_of_a_default_run_is_near_what_it_took_on_two_machines(dtype, took):
    default = RunConfig(**catalogue.PRESETS[catalogue.DEFAULT_PRESET].values).resolve()
    guessed = estimate(default, Sizes(train=448, validation=112, test=114, mean_tokens=35.6), replace(TWO_CORES, dtype=dtype))
    assert guessed.steps == 168
    assert 0.8 * took < guessed.seconds < 1.2 * took


@given(st.integers(1, 500), st.integers(1, 500))
def test_more_steps_never_take_less_time(one, two):
    times = [estimate(config(max_steps=n), STARTER, TWO_CORES).seconds for n in sorted((one, two))]
    assert times == sorted(times)


def test_memory_grows_with_length_and_is_bounded_by_the_cap_on_tokens():
    def at(length, cap):
        wanted = config(max_length=length, tokens_per_micro_batch=cap)
        return estimate(wanted, replace(STARTER, mean_tokens=400.0), TWO_CORES).memory_gib

    assert at(64, 100_000) < at(256, 100_000)
    assert at(256, 1024) == at(128, 1024)


def test_an_unknown_corpus_leaves_the_time_open_and_an_unknown_model_both():
    open_time = estimate(config(), None, TWO_CORES)
    assert open_time.seconds is None
    assert open_time.memory_gib > 0
    unknown = estimate(RunConfig(model_name="some/model").resolve(), STARTER, TWO_CORES)
    assert (unknown.seconds, unknown.memory_gib) == (None, None)


def test_an_8b_model_in_bf16_needs_more_than_its_weights_and_a_gpu_is_faster():
    big = RunConfig(model_name="llama3.1-8b").resolve()
    assert 16 < estimate(big, STARTER, GPU).memory_gib < 60
    assert estimate(config(), STARTER, GPU).seconds < estimate(config(), STARTER, TWO_CORES).seconds


@pytest.mark.parametrize("name", catalogue.MODELS)
def test_every_model_has_its_memory_on_a_gpu_and_less_of_it_in_8_and_4_bit(name):
    full, eight, four = (
        estimate(RunConfig(model_name=name, batch_size=16, **told).resolve(), None, GPU).memory_gib
        for told in ({}, {"load_8bit": True}, {"load_4bit": True})
    )
    model = catalogue.MODELS[name]
    assert full > model.loaded_m * 2e6 / 2**30
    assert full > eight > four > model.loaded_m * 0.5e6 / 2**30


def test_only_the_products_weights_are_smaller_in_4_bit():
    # 7.5 B weights are loaded, 0.53 B of them the embedding: 6.98 B shrink from 2 bytes to 0.52.
    big, small = (estimate(RunConfig(model_name="llama3.1-8b", load_4bit=b).resolve(), None, GPU).memory_gib for b in (None, True))
    assert big - small == pytest.approx(6.98e9 * 1.48 / 2**30, abs=0.05)


def test_pairs_count_their_template():
    assert mean_tokens(0, use_instruction=False) > 0
    assert mean_tokens(420, use_instruction=True) > mean_tokens(420, use_instruction=False) > 50


@pytest.mark.parametrize("machine", [None, TWO_CORES])
def test_a_machine_not_known_yet_is_taken_for_a_small_one(machine):
    assert estimate(config(), STARTER, machine).seconds > 60


def test_what_a_run_asks_for_itself_counts_before_what_the_machine_would_choose():
    big = RunConfig(model_name="llama3.1-8b")

    def memory(**values):
        return estimate(big.model_copy(update=values).resolve(), STARTER, GPU).memory_gib

    assert memory(dtype="float32") > memory() + 13
    assert memory(adapter_name="bottleneck", bottleneck_width=256) > memory(adapter_name="bottleneck", bottleneck_width=16) + 5
    assert memory(gradient_checkpointing=True) < memory()
    on_cpu = estimate(config(device="cpu"), STARTER, GPU).seconds
    assert on_cpu > 2.5 * estimate(config(), STARTER, GPU).seconds
    assert estimate(config(gradient_checkpointing=True), STARTER, GPU).seconds > estimate(config(), STARTER, GPU).seconds


def test_a_short_run_on_a_large_corpus_scores_its_validation_part_once():
    large = replace(STARTER, train=5000, validation=600, test=0)
    once = 600 * 60 / 3 / 1000
    for steps, times in ((10, 1), (4000, 6)):
        with_it, without = (
            estimate(config(max_steps=steps), replace(large, validation=rows), TWO_CORES, Measured(1.0)).seconds for rows in (600, 0)
        )
        assert with_it - without == pytest.approx(times * once)


def test_other_settings_than_the_former_runs_are_told_in_proportion():
    former = Measured(4.0, 2048.0, of=config(batch_size=4, max_length=64))
    same = estimate(config(batch_size=4, max_length=64), STARTER, TWO_CORES, former)
    more = estimate(config(batch_size=64, tokens_per_micro_batch=32768), STARTER, TWO_CORES, former)
    assert same.memory_gib == 2.0
    assert more.memory_gib > 2.5
    again = Measured(4.0, 2048.0, of=config(gradient_checkpointing=True))
    without, with_it = (estimate(config(gradient_checkpointing=on), STARTER, TWO_CORES, again) for on in (None, True))
    assert without.seconds < with_it.seconds == estimate(config(), STARTER, TWO_CORES, Measured(4.0, of=config())).seconds
    assert without.memory_gib > with_it.memory_gib == 2.0
