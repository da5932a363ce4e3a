"""What a loss is the mean of, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from irtuning.tuning.losses import own_mean

DECODER = SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=False))
BOTH = SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=True))


def test_with_one_label_a_row_it_weighs_its_rows_whatever_else_is_told():
    inputs = {"labels": torch.tensor([0, 1, 2]), "num_items_in_batch": torch.tensor(12)}
    mean, weight, again = own_mean(torch.tensor(1.5), inputs, DECODER)
    assert (float(mean), float(weight)) == (1.5, 3.0)
    assert set(again) == {"labels"}


@pytest.mark.parametrize(("model", "asked"), [(DECODER, 3.0), (BOTH, 4.0)])
def test_a_loss_divided_by_all_tokens_is_brought_back_to_its_own(model, asked):
    """Two rows that ask for the tokens marked 7; the first place of a decoder's row is never asked for."""
    labels = torch.tensor([[7, 7, -100], [-100, 7, 7]])
    mean, weight, _ = own_mean(torch.tensor(6.0 / 40), {"labels": labels, "num_items_in_batch": 40}, model)
    assert float(weight) == asked
    assert float(mean) == pytest.approx(6.0 / asked)


def test_a_part_that_asks_for_nothing_weighs_nothing():
    labels = torch.full((2, 3), -100)
    mean, weight, _ = own_mean(torch.tensor(float("nan")), {"labels": labels}, DECODER)
    assert (float(mean), float(weight)) == (0.0, 0.0)


def test_a_loss_that_is_no_number_stays_one():
    mean, _, _ = own_mean(torch.tensor(float("nan")), {"labels": torch.ones(2, 3)}, DECODER)
    assert torch.isnan(mean)
