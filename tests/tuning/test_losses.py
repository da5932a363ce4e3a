"""What a loss is the mean of, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from irtuning.tuning.losses import own_mean


def model(loss_type: str, both: bool = False) -> SimpleNamespace:
    return SimpleNamespace(loss_type=loss_type, config=SimpleNamespace(is_encoder_decoder=both))


LANGUAGE = model("ForCausalLM")
ALL = {"num_items_in_batch": 40}


@pytest.mark.parametrize("kind", ["ForSequenceClassification", "ForTokenClassification", "ForMaskedLM", None])
@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 5)])
def test_a_loss_that_is_no_language_models_weighs_its_rows_whatever_else_is_told(kind, shape):
    mean, weight, again = own_mean(torch.tensor(1.5), {"labels": torch.ones(shape), **ALL}, model(kind))
    assert (float(mean), float(weight)) == (1.5, 3.0)
    assert set(again) == {"labels"}


def test_an_encoders_decoder_weighs_its_rows():
    assert float(own_mean(torch.tensor(1.5), {"labels": torch.ones(3, 5), **ALL}, model("ForConditionalGeneration", True))[1]) == 3


def test_a_loss_divided_by_all_tokens_is_brought_back_to_its_own():
    """Two rows that ask for the tokens marked 7, four of them; that in the first place is never asked for."""
    labels = torch.tensor([[7, 7, -100], [-100, 7, 7]])
    mean, weight, _ = own_mean(torch.tensor(6.0 / 40), {"labels": labels, **ALL}, LANGUAGE)
    assert float(weight) == 3.0
    assert float(mean) == pytest.approx(6.0 / 3)


def test_a_part_that_asks_for_nothing_weighs_nothing():
    labels = torch.full((2, 3), -100)
    mean, weight, _ = own_mean(torch.tensor(float("nan")), {"labels": labels}, LANGUAGE)
    assert (float(mean), float(weight)) == (0.0, 0.0)


def test_a_loss_that_is_no_number_stays_one():
    mean, _, _ = own_mean(torch.tensor(float("nan")), {"labels": torch.ones(2, 3)}, LANGUAGE)
    assert torch.isnan(mean)
