"""Which weights are kept: those of the highest score on the validation part, and of equal ones the later."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from irtuning.tuning.validation import Validation
from tests.conftest import tiny_model, with_adapter


@pytest.mark.parametrize(
    ("scores", "best"), [([0.2, 0.7, 0.7, 0.5], 3), ([0.9, 0.7, 0.7, 0.5], 1), ([0.0, 0.0, 0.0, 0.1], 4)]
)
def test_the_weights_of_the_highest_score_come_back_and_of_equals_the_later_ones(scores, best):
    model, told = with_adapter(tiny_model("llama")), iter(scores)
    kept = Validation(model, lambda step: {"macro_f1": next(told)}, [1, 2, 3, 4])
    weight = next(p for name, p in model.named_parameters() if "lora_B" in name)
    for step in range(1, 6):
        weight.data.fill_(step)
        kept.on_step_end(None, SimpleNamespace(global_step=step), None)
    assert kept.restore_best() == (best, {"macro_f1": scores[best - 1]})
    assert (weight == best).all()


def test_without_an_evaluation_the_weights_stay():
    model = with_adapter(tiny_model("llama"))
    weight = next(p for name, p in model.named_parameters() if "lora_B" in name)
    weight.data.fill_(5)
    assert Validation(model, dict, []).restore_best() == (0, {})
    assert (weight == 5).all()
