import pytest

from irtuning import catalogue
from irtuning.insight.machine import Machine
from irtuning.ui.presets import BRING_SMOLLM2, bring_note, cannot, cards

CPU = Machine("cpu", "2 CPU cores", "bfloat16", 2, 256.0, None)
SMALL = Machine("cuda", "A GPU", "bfloat16", 8, 64.0, 8.0)
LARGE = Machine("cuda", "A GPU", "bfloat16", 8, 64.0, 80.0)


@pytest.mark.parametrize(("machine", "reason"), [(None, "needs a GPU"), (CPU, "needs a GPU"), (LARGE, "")])
def test_the_papers_models_need_a_gpu(machine, reason):
    assert cannot(catalogue.PRESETS["paper"], machine) == reason


def test_a_small_gpu_is_told_how_much_is_missing():
    assert cannot(catalogue.PRESETS["paper"], SMALL).endswith("GB on the GPU")


def test_a_public_host_offers_only_what_comes_along_whatever_its_gpu():
    assert cannot(catalogue.PRESETS["paper"], LARGE, free=False) == "not on this host"
    assert cannot(catalogue.PRESETS["real-llm"], LARGE, free=False) == ""
    assert cards(LARGE, free=False).count(" disabled") == 1


@pytest.mark.parametrize("name", ["thirty-seconds", "real-llm"])
def test_the_others_run_everywhere(name):
    assert cannot(catalogue.PRESETS[name], None) == ""


def test_the_cards_are_radios_one_chosen_and_what_cannot_run_disabled():
    made = cards(CPU)
    assert made.count('type="radio"') == 3
    assert made.count(" checked") == 1
    assert made.count(" disabled") == 1
    assert "needs a GPU" in made
    assert " disabled" not in cards(LARGE)


def test_a_card_says_how_long_it_takes_here_but_not_where_it_cannot_run():
    made = cards(CPU, {"thirty-seconds": "about 70 s", "paper": "about 3 h"})
    assert "MiniLM, 6\N{NO-BREAK SPACE}layers, about\N{NO-BREAK SPACE}70\N{NO-BREAK SPACE}s<" in made
    assert "SmolLM2, 30\N{NO-BREAK SPACE}layers<" in made
    assert "about 3 h" not in made


def test_a_model_that_must_be_fetched_says_how():
    assert bring_note("minilm", "package") == ""
    assert BRING_SMOLLM2 in bring_note("smollm2-135m", None)
    assert "licence" in bring_note("llama3.2-1b", None)
    assert bring_note("some/model", None) == ""
