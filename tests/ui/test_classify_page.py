import pytest

from irtuning.revisions.encoding import check_pair
from irtuning.ui.classify import EXAMPLES, adapter_title, answer_markup, percent

ANSWER = {"label": "fluency", "probabilities": {"style": 0.27, "fluency": 0.7249, "clarity": 0.0051}, "abstained": False}


def test_the_answer_comes_before_the_evidence():
    made = answer_markup(ANSWER, "He go.", "He goes.")
    order = [made.index(part) for part in ("fluency", "72 %", "Repairs grammar", "style", "clarity", "<del>")]
    assert order == sorted(order)
    assert "&lt; 1 %" in made or "< 1 %" in made


def test_texts_labels_and_notices_are_text():
    answer = {"label": "<b>", "probabilities": {"<b>": 1.0}, "notice": "<i>cut</i>"}
    made = answer_markup(answer, "<u>a</u> b", "<u>a</u> c")
    for tag in ("<b>", "<i>", "<u>"):
        assert tag not in made
    assert "100 %" in made


def test_an_abstention_is_said():
    assert "not sure enough" in answer_markup({**ANSWER, "abstained": True}, "a", "b")
    assert "not sure enough" not in answer_markup(ANSWER, "a", "b")


@pytest.mark.parametrize(("probability", "said"), [(1.0, "100 %"), (0.999, "99 %"), (0.5, "50 %"), (0.004, "< 1 %")])
def test_nothing_uncertain_is_rounded_to_certainty(probability, said):
    assert percent(probability) == said


def test_an_adapter_is_named_by_what_it_was_trained_on_and_came_to():
    entry = {"id": "calm-heron-0001", "model": "minilm", "corpus": "starter", "macro_f1": 0.661, "floor_macro_f1": 0.55, "shipped": False}
    assert adapter_title(entry) == "MiniLM on Starter, macro-F1 0.66 (bag of edits 0.55) · calm-heron-0001"
    assert adapter_title({"id": "x", "model": "a/b", "corpus": "c.csv", "shipped": True}) == "a/b on c.csv · comes with the studio"


def test_the_examples_can_be_classified():
    assert len(EXAMPLES) == 3
    for _, before, after in EXAMPLES:
        check_pair(before, after)
