"""What a whole run says at its end."""

from __future__ import annotations

import numpy as np
import pytest

from irtuning.config import RunConfig
from irtuning.runs.conduct import _one_answer
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
