"""What a whole run says at its end."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from irtuning.config import RunConfig
from irtuning.revisions.rows import Revision
from irtuning.runs.conduct import _one_answer, _verdict, _wrong_rows
from irtuning.tuning.training import TrainResult
from irtuning.tuning.weights import Weights


@pytest.mark.parametrize(
    ("probabilities", "said"),
    [
        ([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]], "same intention, clarity"),
        ([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], ""),
        ([[0.9, 0.1]], ""),
    ],
)
def test_a_network_with_one_answer_for_all_is_told_from_one_that_learnt(probabilities, said):
    result = TrainResult(RunConfig(), ["clarity", "fluency"], Weights("x", "x", "x", True))
    result.probabilities = np.array(probabilities)
    text = _one_answer(result)
    assert said in text
    assert bool(text) == bool(said)


def test_of_rows_it_got_wrong_ten_are_kept_the_surest_first():
    result = TrainResult(RunConfig(), ["clarity", "fluency"], Weights("x", "x", "x", True))
    sure = [0.6, 0.9, 0.75, *[0.55 + i / 1000 for i in range(12)]]
    result.probabilities = np.array([[p, 1 - p] for p in sure])
    rows = [Revision("a", f"b{i}", "clarity" if i == 1 else "fluency") for i in range(len(sure))]
    wrong = _wrong_rows(result, SimpleNamespace(corpus=SimpleNamespace(test=rows)))
    assert len(wrong) == 10
    assert wrong[0] == {"before": "a", "after": "b2", "label": "fluency", "predicted": "clarity", "probability": 0.75}
    assert [row["after"] for row in wrong[1:4]] == ["b0", "b14", "b13"]


@pytest.mark.parametrize(
    ("gap", "clear", "judged"), [(0.1, True, "above"), (-0.1, True, "below"), (0.1, False, "no clear difference to")]
)
def test_the_verdict_says_which_is_better_only_where_that_is_clear(gap, clear, judged):
    said = _verdict({
        "network": {"macro_f1": 0.5 + gap}, "floor": {"macro_f1": 0.5}, "difference": {"macro_f1": gap, "clear": clear, "rows": 114},
    })  # fmt: skip
    assert said == f"Macro-F1 {0.5 + gap:.3f} on 114 held-out revisions, {judged} the bag of edits (0.500)."
