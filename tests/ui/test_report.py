import pytest

from irtuning.config import RunConfig
from irtuning.ui.report import confusion, cost, per_class, report, settings, verdict, wrong_rows

LABELS = ["clarity", "<fluency>"]
PER = {label: {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 12} for label in LABELS}


def metrics(low, high, gap):
    return {
        "labels": LABELS, "network": {"macro_f1": 0.60, "accuracy": 0.6, "per_class": PER},
        "floor": {"macro_f1": 0.60 - gap, "per_class": PER}, "confusion": [[9, 3], [0, 12]],
        "difference": {"macro_f1": gap, "low": low, "high": high, "rows": 24, "clear": low > 0 or high < 0}, "wrong": [],
    }


@pytest.mark.parametrize(("low", "high", "gap", "said"), [
    (0.01, 0.09, 0.05, "The network beats the bag of edits."),
    (-0.02, 0.12, 0.05, "No clear difference."),
    (-0.12, -0.01, -0.05, "The network does not beat the bag of edits."),
])
def test_the_verdict_names_the_interval_and_the_rows(low, high, gap, said):
    made = verdict(metrics(low, high, gap))
    assert said in made
    assert "24 test rows" in made
    assert f"{abs(low):.2f}" in made
    assert ("it contains 0" in made) == (low < 0 < high)


def test_a_run_without_figures_still_shows_its_settings():
    made = report({"model_name": "minilm", "given": ["model_name"]}, None)
    assert "minilm *" in made
    assert "Against the bag of edits" not in made


def test_labels_from_a_file_are_text_everywhere():
    made = report({}, metrics(0.01, 0.09, 0.05))
    assert "<fluency>" not in made
    assert "&lt;fluency&gt;" in made


def test_each_intention_has_its_count_and_both_bars():
    made = per_class(LABELS, {"per_class": PER}, {"per_class": {LABELS[0]: {"f1": 0.25}}})
    assert made.count("12 rows") == 2
    assert "width:50.0%" in made
    assert "width:25.0%" in made


def test_confusions_are_counts_with_the_part_of_their_row():
    made = confusion(LABELS, [[9, 3], [0, 0]])
    assert "--part:0.750" in made
    assert "clarity taken for &lt;fluency&gt;: 3 of 12" in made
    assert "--part:0.000" in made


def test_wrong_rows_are_marked_texts():
    made = wrong_rows([{"before": "<i>a</i> b", "after": "<i>a</i> c", "label": "x", "predicted": "y", "probability": 0.914}])
    assert "<del>b</del>" in made
    assert "<i>" not in made
    assert "0.91" in made
    assert "None" in wrong_rows([])


def test_what_a_preset_set_is_no_default_of_the_model():
    config = RunConfig(model_name="minilm").with_preset("steady").resolve()
    made = settings({**config.model_dump(), "given": ["model_name"]})
    assert "0.67 *" in made
    assert f"{config.lora_r} *" not in made


def test_what_it_took_is_not_rounded_further_than_the_header_rounds_it():
    made = cost({"seconds": 31.56, "peak_memory_mib": 1330.0})
    assert "32 s" in made
    assert "1.4 GB" in made


def test_settings_say_which_were_chosen():
    made = settings({"learning_rate": 5e-4, "use_instruction": False, "seed": None, "given": ["learning_rate"], "weights": "cache"})
    assert "0.0005 *" in made
    assert ">no<" in made
    assert "Seed" not in made
    assert "cache" in made


def test_a_public_page_keeps_the_rows_of_an_uploaded_file_to_itself():
    row = {"before": "a secret", "after": "the secret", "label": "clarity", "predicted": "<fluency>", "probability": 0.9}
    found = {**metrics(0.01, 0.09, 0.05), "wrong": [row]}
    assert "secret" not in report({"dataset_name": "mine.csv"}, found, public=True)
    assert "secret" in report({"dataset_name": "mine.csv"}, found)
    assert "secret" in report({"dataset_name": "starter"}, found, public=True)
