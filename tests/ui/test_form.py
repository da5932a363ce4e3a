import pytest
from hypothesis import given
from hypothesis import strategies as st

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.errors import ConfigError
from irtuning.ui import form


def filled(**values):
    usual = {"model": "minilm", "corpus": "starter", "method": "ir", "metric": "gradient", "adapter": "lora:16", "folded": {}}
    return form.read(**{**usual, **values})


def test_every_setting_has_its_place_in_the_form():
    folded = {field.name for field in form.folded_fields()}
    assert folded | {*form.ROWS, *form.ELSEWHERE} == set(RunConfig.model_fields)
    assert all(field.info and field.label for field in form.folded_fields())
    assert len({field.label for field in form.folded_fields()}) == len(folded)


def test_choices_come_from_the_types():
    fields = {field.name: field for field in form.folded_fields()}
    assert fields["boundary"].choices == (("reference", "reference"), ("exact", "exact"))
    assert fields["use_instruction"].choices == (("yes", "yes"), ("no", "no"))
    assert fields["learning_rate"].choices == ()
    assert {value for _, value in form.method_choices()} == {"ir", "rst", "ist", "full", "lisa", "top-k", "fixed", "steady"}


def test_an_untouched_form_asks_for_nothing_but_model_and_corpus():
    assert filled().given == ["model_name", "dataset_name"]


def test_what_is_typed_becomes_what_the_setting_takes():
    asked = filled(
        adapter="lora:8", method="ir",
        folded={"max_steps": " 40 ", "learning_rate": "2e-4", "use_instruction": "yes", "boundary": "exact", "seed": ""},
    )
    assert asked.lora_r == 8
    assert (asked.max_steps, asked.learning_rate, asked.use_instruction, asked.boundary) == (40, 2e-4, True, "exact")
    assert asked.seed is None


def test_what_equals_the_models_default_is_left_to_it():
    usual = catalogue.defaults_for("minilm", "starter")
    asked = filled(folded={"learning_rate": str(usual["learning_rate"]), "use_instruction": "no"})
    assert asked.given == ["model_name", "dataset_name"]
    assert not form.folded_values(asked.resolve())["learning_rate"]


def test_on_another_corpus_the_same_rate_is_a_choice():
    usual = form.default_words("learning_rate", "minilm", "starter")
    assert usual != form.default_words("learning_rate", "minilm", "iterater-human")
    asked = filled(corpus="iterater-human", folded={"learning_rate": usual})
    assert asked.given == ["model_name", "dataset_name", "learning_rate"]
    assert form.folded_values(asked)["learning_rate"] == usual


def test_a_one_is_no_yes():
    decay = filled(folded={"weight_decay": "1"}).weight_decay
    assert decay == 1.0
    assert decay is not True


@pytest.mark.parametrize(("name", "typed", "label"), [
    ("learning_rate", "nan", "Learning rate"), ("max_steps", "0", "Number of steps"), ("max_steps", "2.5", "Number of steps"),
    ("batch_size", "many", "Batch size"), ("lora_dropout", "1.5", "LoRA dropout"),
])
def test_a_wrong_value_is_told_by_the_forms_own_name(name, typed, label):
    with pytest.raises(ConfigError) as error:
        filled(folded={name: typed})
    assert str(error.value).startswith(f"{label}:")


def test_a_setting_that_nothing_reads_is_told_by_the_forms_own_name():
    with pytest.raises(ConfigError, match=r"^Time budget is not used by tuning method rst, only by ir"):
        filled(method="rst", folded={"budget": "0.5"})


@given(st.text(max_size=30))
def test_whatever_is_typed_is_a_request_or_an_error_for_people(typed):
    message = ""
    try:
        filled(model=typed, folded={"max_length": typed, "num_train_epochs": typed})
    except ConfigError as error:
        message = str(error)
    assert len(message) < 400


def test_a_form_shows_a_request_as_it_would_be_typed():
    asked = RunConfig(max_steps=12, learning_rate=1e-5, use_instruction=True, model_name="minilm", dataset_name="starter")
    shown = form.folded_values(asked)
    assert (shown["max_steps"], shown["learning_rate"], shown["use_instruction"], shown["seed"]) == ("12", "1e-05", "yes", "")
    assert filled(folded=shown) == asked


@pytest.mark.parametrize("preset", catalogue.PRESETS)
def test_a_preset_is_told_by_its_model(preset):
    assert form.preset_of(RunConfig().with_preset(preset).model_name) == preset


def test_a_custom_model_starts_from_no_preset():
    assert form.preset_of("some/model") == ""
    assert form.default_adapter("some/model") == "lora:16"
    assert form.default_adapter("llama3.1-8b") == "lora:32"
    assert {form.default_adapter(name) for name in catalogue.MODELS} <= {value for _, value in form.adapter_choices()}


def test_the_steady_setting_is_a_method_of_the_short_list():
    asked = filled(method="steady")
    assert asked.tuning_method is None
    assert {name: getattr(asked, name) for name in catalogue.STEADY} == catalogue.STEADY
    assert form.method_of(asked) == "steady"
    assert not any(form.folded_values(asked).values())
    other = filled(method="steady", folded={"budget": "0.4"})
    assert (other.budget, other.settle_after) == (0.4, catalogue.STEADY["settle_after"])
    assert form.method_of(other) == "ir"
    assert form.folded_values(other)["budget"] == "0.4"


def test_what_is_chosen_stays_among_the_choices():
    field = next(field for field in form.folded_fields() if field.name == "use_instruction")
    assert [value for _, value in form.with_default(field, "llama3.1-8b", None)] == ["", "no"]
    assert [value for _, value in form.with_default(field, "llama3.1-8b", None, "yes")] == ["", "yes", "no"]
    assert ("LoRA, rank 12", "lora:12") in form.adapter_choices("lora:12")
    assert form.adapter_choices("lora:16") == form.adapter_choices()
