"""Sums of a step by hand: what is added, what is forgotten, what every process must have."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from irtuning.tuning.tally import Tally

MODEL = SimpleNamespace(config=SimpleNamespace())


def rows(count: int, tokens: int) -> dict[str, torch.Tensor]:
    return {"labels": torch.zeros(count, dtype=torch.long), "attention_mask": torch.ones(count, tokens, dtype=torch.long)}


def counted(*passes: tuple[int, int, float], keep: bool = True) -> Tally:
    tally = Tally()
    for count, tokens, loss in passes:
        tally.take(rows(count, tokens), SimpleNamespace(loss=torch.tensor(loss)), MODEL, keep=keep)
    return tally


def test_passes_weigh_by_their_rows():
    tally = counted((3, 5, 1.0), (1, 7, 5.0))
    sums = [float(part) for part in tally.sums]
    assert sums == [22.0, 8.0, 4.0]
    assert tally.read(sums, 1) == (2.0, 22)
    # Averaged over two processes: the mean loss is the same, tokens are those of both.
    assert tally.read(sums, 2) == (2.0, 44)
    assert len(tally.seen) == 2
    assert counted((3, 5, 1.0), keep=False).seen == []


def test_without_labels_or_a_mask_nothing_is_told():
    tally = Tally()
    tally.take({}, SimpleNamespace(), MODEL, keep=True)
    assert tally.sums == []
    assert tally.read([], 1) == (None, 0)


def test_a_copy_stays_as_it_was():
    tally = counted((3, 5, 1.0))
    mark = tally.copy()
    tally.take(rows(1, 2), SimpleNamespace(loss=torch.tensor(9.0)), MODEL, keep=True)
    assert ([float(part) for part in mark.sums], len(mark.seen)) == ([15.0, 3.0, 3.0], 1)


def test_a_row_that_counts_for_nothing_leaves_zeros_for_the_others_to_add_to():
    first = counted((2, 4, 3.0)).without_what_came_after(Tally())
    assert [float(part) for part in first.sums] == [0.0, 0.0, 0.0]
    assert [float(weight) for _, weight in first.seen] == [0.0]
    later = counted((3, 5, 1.0))
    mark = later.copy()
    later.take(rows(1, 2), SimpleNamespace(loss=torch.tensor(9.0)), MODEL, keep=True)
    left = later.without_what_came_after(mark)
    assert [float(part) for part in left.sums] == [15.0, 3.0, 3.0]
    assert [float(weight) for _, weight in left.seen] == [3.0, 0.0]


def test_no_loss_in_a_step_of_no_weight():
    assert counted((2, 4, 3.0)).without_what_came_after(Tally()).read([0.0, 0.0, 0.0], 1) == (None, 0)
