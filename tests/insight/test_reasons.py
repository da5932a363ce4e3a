"""A sentence for each way of choosing that is not the split of plain scores."""

from __future__ import annotations

import numpy as np
import pytest

from irtuning.insight.reasons import other_reason

SOME, ALL = np.array([False, True, True, False]), np.ones(4, dtype=bool)


@pytest.mark.parametrize(
    ("settings", "step", "selected", "said"),
    [
        ({"tuning_method": "full"}, 3, ALL, "Every layer trains at every step."),
        ({"tuning_method": "fixed"}, 3, SOME, "named before the start"),
        ({"tuning_method": "rst"}, 3, SOME, "2 of 4 layers train, drawn at random anew"),
        ({"tuning_method": "lisa", "lisa_interval": 7}, 3, SOME, "kept for 7 steps"),
        ({"tuning_method": "ist"}, 3, SOME, "damping"),
        ({"tuning_method": "top-k"}, 3, SOME, "highest scores"),
        ({"tuning_method": "top-k", "importance_metric_name": "cosine"}, 3, SOME, "lowest scores"),
        ({"budget": 0.7}, 3, SOME, "within 70% of a full step"),
        ({"budget": 0.7}, 5, ALL, "A whole step"),
        ({"refresh_every": 4}, 5, ALL, "one of 4 steps"),
        ({"refresh_every": 4}, 6, SOME, ""),
        ({"relative_to": "own-mean", "explore": 0.2}, 3, SOME, "own running mean and 20% of the choice"),
        ({"selection_unit": "block", "tuning_method": "rst"}, 3, SOME, "2 of 4 blocks"),
        ({"refresh_every": 0, "explore": 0.0, "relative_to": "nothing"}, 3, SOME, ""),
    ],
)
def test_the_reason_is_told(settings, step, selected, said):
    told = other_reason(step, selected, settings)
    assert said in told
    assert bool(told) == bool(said)


@pytest.mark.parametrize("settings", [{"tuning_method": "top-k"}, {"tuning_method": "top-k", "relative_to": "own-mean"}])
def test_the_best_of_nothing_are_drawn(settings):
    assert other_reason(1, SOME, settings, measured=False) == "Nothing was measured yet: 2 of 4 layers train, drawn at random."


def test_relative_to_nothing_measured_is_the_first_draw_like_any_other():
    assert other_reason(1, SOME, {"relative_to": "own-mean"}, measured=False) == ""
