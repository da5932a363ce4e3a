import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irtuning import catalogue
from irtuning.config import RunConfig, parse_config
from irtuning.errors import ConfigError


def test_nothing_given_resolves_to_the_default_preset():
    config = RunConfig().resolve()
    assert (config.model_name, config.dataset_name) == ("minilm", "starter")
    assert RunConfig().given == []
    missing = {name for name, value in config.model_dump().items() if value is None}
    open_choices = {"max_steps", "step_limit", "warmup_steps", "instruction", "before_column", "after_column", "label_column", "doc_column"}
    not_read = {"bottleneck_width", "layer_count", "layers", "lisa_interval"}
    assert missing == open_choices | not_read | {"budget", "settle_after"}


@pytest.mark.parametrize("model", [name for name, m in catalogue.MODELS.items() if m.defaults.get("lora_r") == 32])
def test_the_papers_models_have_the_papers_values(model):
    config = RunConfig(model_name=model).resolve()
    batch = 8 if model == "llama2-13b" else 16
    assert (config.lora_r, config.lora_alpha, config.lora_dropout) == (32, 64, 0.05)
    assert (config.learning_rate, config.warmup_steps, config.num_train_epochs) == (2e-4, 100, 4)
    assert (config.batch_size, config.max_length, config.seed) == (batch, 256, 171)
    assert (config.use_instruction, config.encoding) == (True, None)
    assert RunConfig(model_name=model, use_instruction=False).resolve().encoding == "pair"


def test_a_models_rate_may_be_another_on_one_corpus():
    elsewhere = RunConfig(model_name="minilm", dataset_name="iterater-human").resolve().learning_rate
    assert RunConfig(model_name="minilm").resolve().learning_rate > elsewhere
    assert RunConfig(model_name="minilm", dataset_name="starter").resolve() == RunConfig(model_name="minilm").resolve()
    assert RunConfig(model_name="minilm", dataset_name="path/to/starter").resolve().learning_rate == elsewhere


def test_the_papers_preset_keeps_what_the_paper_has_for_the_model():
    assert RunConfig(model_name="llama2-13b").with_preset("paper").resolve().batch_size == 8
    assert RunConfig(model_name="llama2-13b", batch_size=4).with_preset("paper").resolve().batch_size == 4
    assert RunConfig(model_name="minilm").with_preset("paper").resolve().learning_rate == 2e-4


@pytest.mark.parametrize("preset", catalogue.PRESETS)
def test_presets_fill_in_and_explicit_choices_win(preset):
    config = RunConfig(learning_rate=1e-5, use_instruction=False).with_preset(preset).resolve()
    assert config.learning_rate == 1e-5
    assert config.use_instruction is False
    assert config.model_name == catalogue.PRESETS[preset].values["model_name"]


@pytest.mark.parametrize(("values", "words"), [
    ({"max_steps": "x"}, "Max steps: a whole number is expected, not 'x'. ("),
    ({"max_steps": 2.5}, "Max steps: a whole number is expected, not 2.5. ("),
    ({"learning_rate": "fast"}, "Learning rate: a number is expected, not 'fast'. ("),
    ({"learning_rate": 0}, "Learning rate: more than 0 is expected, not 0. ("),
    ({"batch_size": 0}, "Batch size: 1 or more is expected, not 0. ("),
    ({"budget": 1.5}, "Budget: less than 1 is expected, not 1.5. ("),
    ({"settle_after": 1}, "Settle after: less than 1 is expected, not 1. ("),
    ({"load_8bit": "perhaps"}, "Load 8bit: true or false is expected, not 'perhaps'. ("),
    ({"split_num": 3}, "Split num: 2 or less is expected, not 3. ("),
    ({"tuning_method": "{x}"}, "Tuning method: 'ir', "),
])
def test_a_wrong_value_is_told_in_plain_words(values, words):
    with pytest.raises(ConfigError) as told:
        parse_config(values)
    assert str(told.value).startswith(words)


@pytest.mark.parametrize("other", [
    {"tuning_method": "rst"}, {"tuning_method": "full"}, {"importance_metric_name": "cosine"}, {"explore": 0.2}, {"split_num": 2},
])
def test_the_steady_setting_is_taken_whole_or_not_at_all(other):
    assert RunConfig(budget=0.5).with_preset("steady").given == ["budget", "settle_after", "cache_prefix"]
    with pytest.raises(ConfigError, match="The preset steady does not go with that: "):
        RunConfig(**other).with_preset("steady")


def test_the_rule_is_always_the_papers():
    for model in catalogue.MODELS:
        config = RunConfig(model_name=model).resolve()
        assert (config.tuning_method, config.importance_metric_name, config.split_num, config.boundary) == (
            "ir",
            "gradient",
            1,
            "reference",
        )


@pytest.mark.parametrize(
    ("given", "batch", "part", "times"),
    [
        ({}, 16, 16, 1),
        ({"batch_size": 12, "per_device_train_batch_size": 4}, 12, 4, 3),
        ({"batch_size": 12, "gradient_accumulation_steps": 2}, 12, 6, 2),
        ({"per_device_train_batch_size": 3}, 3, 3, 1),
        ({"per_device_train_batch_size": 3, "gradient_accumulation_steps": 5}, 15, 3, 5),
        ({"gradient_accumulation_steps": 2}, 32, 16, 2),
    ],
)
def test_batch_sizes_multiply(given, batch, part, times):
    config = RunConfig(**given).resolve()
    assert (config.batch_size, config.per_device_train_batch_size, config.gradient_accumulation_steps) == (
        batch,
        part,
        times,
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"learning_rate": math.nan}, "Learning rate"),
        ({"learning_rate": math.inf}, "Learning rate"),
        ({"learning_rate": 0}, "Learning rate"),
        ({"max_steps": 0}, "Max steps"),
        ({"seed": -1}, "Seed"),
        ({"tuning_method": "magic"}, "'ir', 'rst', 'ist'"),
        ({"colour": "red"}, "no setting called 'colour'"),
        ({"tuning_method": "fixed", "layers": "a"}, r"^Layers: 'a' is no unit and no range of units\. \(The units"),
        ({"tuning_method": "fixed", "layers": "3,"}, r"^Layers: '' is no unit and no range of units\. "),
        ({"tuning_method": "fixed", "layers": ""}, r"^Layers: '' is no unit"),
        ({"tuning_method": "fixed", "layers": "٣"}, "is no unit"),
        ({"tuning_method": "fixed", "layers": "5-3"}, r"^Layers: 5-3 goes down: name the lower unit first\. "),
        ({"batch_size": 16, "per_device_train_batch_size": 3}, "no multiple"),
        (
            {"batch_size": 16, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 3},
            "not 4 a device times 3",
        ),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_in_one_sentence(values, says):
    with pytest.raises(ConfigError, match=says) as caught:
        parse_config(values)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="thirty-seconds"):
        RunConfig().with_preset("fast")


@given(st.integers(1, 64), st.integers(1, 64), st.floats(1e-6, 0.9), st.booleans())
def test_json_round_trip(rank, steps, rate, instruction):
    config = RunConfig(lora_r=rank, max_steps=steps, learning_rate=rate, use_instruction=instruction).resolve()
    assert parse_config(json.loads(config.model_dump_json())) == config
    assert config.resolve() == config


def test_every_field_says_what_it_is():
    for name, field in RunConfig.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize("preset", catalogue.STARTING_POINTS)
@pytest.mark.parametrize("model", ["minilm", "llama2-13b", "some/model"])
def test_the_shortest_request_of_a_run_makes_the_same_run(model, preset):
    made = RunConfig(model_name=model, seed=3).with_preset(preset).resolve()
    assert made.shortest().resolve() == made


@given(
    st.sampled_from(["minilm", "llama2-13b"]),
    st.none() | st.sampled_from([8, 16, 32]),
    st.none() | st.sampled_from([4, 8]),
    st.none() | st.sampled_from([1, 2, 4]),
    st.sampled_from([{}, {"tuning_method": "fixed", "layers": "0"}, {"adapter_name": "bottleneck"}, {"use_instruction": True}]),
)
def test_batches_and_methods_survive_being_shortened(model, whole, part, times, others):
    values = {"batch_size": whole, "per_device_train_batch_size": part, "gradient_accumulation_steps": times}
    try:
        made = parse_config({"model_name": model, **{k: v for k, v in values.items() if v}, **others}).resolve()
    except ConfigError:
        return
    assert made.shortest().resolve() == made
    assert len(made.shortest().given) <= len(made.given)


def test_steps_come_from_epochs_unless_a_number_of_steps_was_named_and_stay_under_the_limit():
    def steps(rows, **values):
        return RunConfig(model_name="minilm", batch_size=16, **values).resolve().steps(rows)

    assert steps(400, num_train_epochs=3) == 75
    assert steps(401, num_train_epochs=0.5) == 13
    assert steps(400, max_steps=7) == 7
    assert steps(400, num_train_epochs=3, step_limit=300) == 75
    assert steps(4000, num_train_epochs=3, step_limit=300) == 300
    assert steps(400, max_steps=7, step_limit=3) == 3


def test_what_is_usual_is_left_out_of_the_shortest_request():
    assert RunConfig(model_name="minilm").resolve().shortest().given == ["model_name", "dataset_name"]


def test_an_encoding_wins_over_an_instruction_that_nobody_asked_for():
    asked = RunConfig(model_name="llama3.1-8b", encoding="pair").resolve()
    assert (asked.use_instruction, asked.encoding) == (False, "pair")
    assert RunConfig(encoding="pair").with_preset("paper").resolve().use_instruction is False
    usual = RunConfig(model_name="llama3.1-8b").resolve()
    assert (usual.use_instruction, usual.encoding) == (True, None)
