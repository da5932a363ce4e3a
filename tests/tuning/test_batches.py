from hypothesis import given
from hypothesis import strategies as st

from irtuning.tuning.batches import collate, evaluation_batches, length_order, micro_batches

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=120)


@given(LENGTHS, st.integers(1, 16), st.integers(0, 5), st.integers(0, 3))
def test_the_order_holds_every_row_once_and_repeats(lengths, batch, seed, epoch):
    order = length_order(lengths, batch, seed, epoch)
    assert sorted(order) == list(range(len(lengths)))
    assert order == length_order(lengths, batch, seed, epoch)


def test_batches_hold_rows_of_similar_length_and_epochs_differ():
    lengths = [i % 100 for i in range(512)]
    order = length_order(lengths, 8, 1, 0)
    spread = [
        max(lengths[i] for i in order[k : k + 8]) - min(lengths[i] for i in order[k : k + 8]) for k in range(0, 512, 8)
    ]
    assert sum(spread) / len(spread) < 15
    assert order != length_order(lengths, 8, 1, 1)


@given(LENGTHS, st.integers(1, 400))
def test_micro_batches_hold_every_row_once_below_the_cap(lengths, cap):
    parts = micro_batches(lengths, cap)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or max(lengths[i] for i in part) * len(part) <= cap


def test_micro_batches_by_hand():
    assert micro_batches([10, 50, 20, 30], 60) == [[1], [3, 2], [0]]


@given(LENGTHS)
def test_evaluation_batches_are_bounded_in_rows(lengths):
    parts = evaluation_batches(lengths, 5, 300)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    assert all(len(part) <= 5 for part in parts)


def test_collate_pads_on_the_right():
    batch = collate(
        [
            {"input_ids": [1, 2], "attention_mask": [1, 1], "labels": 3},
            {"input_ids": [7], "attention_mask": [1], "labels": 0},
        ],
        pad_token_id=9,
    )
    assert batch["input_ids"].tolist() == [[1, 2], [7, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["labels"].tolist() == [3, 0]
