from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from irtuning.tuning.batches import Deal, collate, evaluation_batches, micro_batches, shuffled

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=120)


@given(st.integers(1, 200), st.integers(0, 5), st.integers(0, 3))
def test_the_order_holds_every_row_once_and_repeats(rows, seed, epoch):
    order = shuffled(rows, seed, epoch)
    assert sorted(order) == list(range(rows))
    assert order == shuffled(rows, seed, epoch)


def test_batches_hold_rows_of_all_lengths_and_epochs_differ():
    # Where labels go with lengths, batches of one length are batches of one label: they train worse.
    lengths = [i // 8 + 1 for i in range(512)]
    deal = Deal(lengths, 8, 1)
    means = [sum(lengths[i] for i in share) / 8 for share in deal]
    # Means of eight of the numbers from 1 to 64 scatter by 18.5 / sqrt(8) = 6.5; batches of rows that are alike would by 18.5.
    assert 4 < (sum((mean - 32.5) ** 2 for mean in means) / len(means)) ** 0.5 < 9
    first = [list(share) for share in deal]
    deal.set_epoch(1)
    assert [list(share) for share in deal] != first


@given(LENGTHS, st.integers(1, 400), st.integers(0, 2000))
def test_micro_batches_hold_every_row_once_below_the_cap(lengths, cap, pass_costs):
    parts = micro_batches(lengths, cap, pass_costs)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or max(lengths[i] for i in part) * len(part) <= cap


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(60, 400), st.integers(0, 100))
def test_no_other_cut_costs_less(lengths, cap, pass_costs):
    rows = sorted(lengths, reverse=True)

    @cache
    def least(start):
        if start == len(rows):
            return 0
        parts = [(end, (end - start) * rows[start]) for end in range(start + 1, len(rows) + 1)]
        return min(tokens + pass_costs + least(end) for end, tokens in parts if tokens <= cap)

    parts = micro_batches(lengths, cap, pass_costs)
    assert sum(max(lengths[i] for i in part) * len(part) + pass_costs for part in parts) == least(0)


def test_micro_batches_by_hand():
    lengths = [10, 50, 12, 40]
    # Tokens: each row for itself 112, the two short ones together 114, both pairs 124, all together 200.
    assert micro_batches(lengths, 1000, 1) == [[1], [3], [2], [0]]
    assert micro_batches(lengths, 1000, 5) == [[1], [3], [2, 0]]
    assert micro_batches(lengths, 1000, 20) == [[1, 3], [2, 0]]
    assert micro_batches(lengths, 1000, 100) == [[1, 3, 2, 0]]
    assert micro_batches(lengths, 60, 100) == [[1], [3], [2, 0]]


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
