from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from irtuning.tuning.batches import ANY, Deal, Grain, collate, evaluation_batches, micro_batches, shuffled

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=120)
GRAINS = st.builds(Grain, rows=st.integers(1, 5), tokens=st.integers(1, 16))


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


@given(LENGTHS, st.integers(1, 400), st.integers(0, 2000), GRAINS)
def test_micro_batches_hold_every_row_once_below_the_cap(lengths, cap, price, grain):
    parts = micro_batches(lengths, cap, price, grain)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or grain.width(max(lengths[i] for i in part)) * len(part) <= cap


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(60, 400), st.integers(0, 100), GRAINS)
def test_no_other_cut_costs_less(lengths, cap, price, grain):
    rows = [grain.width(length) for length in sorted(lengths, reverse=True)]

    @cache
    def least(start):
        if start == len(rows):
            return 0
        fitting = [end for end in range(start + 1, len(rows) + 1) if end == start + 1 or (end - start) * rows[start] <= cap]
        whole = [end for end in fitting if (end - start) % grain.rows == 0]
        rest = [len(rows)] if len(rows) in fitting else []
        return min((end - start) * rows[start] + price + least(end) for end in {*whole, *rest} or {max(fitting)})

    parts = micro_batches(lengths, cap, price, grain)
    assert sum(grain.width(max(lengths[i] for i in part)) * len(part) + price for part in parts) == least(0)


def test_micro_batches_by_hand():
    lengths = [10, 50, 12, 40]
    # Tokens: each row for itself 112, the two short ones together 114, both pairs 124, all together 200.
    assert micro_batches(lengths, 1000, 1) == [[1], [3], [2], [0]]
    assert micro_batches(lengths, 1000, 5) == [[1], [3], [2, 0]]
    assert micro_batches(lengths, 1000, 20) == [[1, 3], [2, 0]]
    assert micro_batches(lengths, 1000, 100) == [[1, 3, 2, 0]]
    assert micro_batches(lengths, 60, 100) == [[1], [3], [2, 0]]


def test_parts_come_in_the_sizes_of_a_grain():
    lengths = [9, 50, 12, 40, 8, 16, 33]
    # Sorted 50, 40, 33, 16, 12, 9, 8; padded to eights 56, 40, 40, 16, 16, 16, 8. The last part takes what is left.
    assert micro_batches(lengths, 1000, 5, Grain(rows=2, tokens=8)) == [[1, 3], [6, 5], [2, 0], [4]]
    assert micro_batches(lengths, 1000, 5, Grain(rows=4, tokens=8)) == [[1, 3, 6, 5], [2, 0, 4]]
    # One of the longest fits and two of the next; then four at once do.
    assert micro_batches(lengths, 100, 5, Grain(rows=4, tokens=8)) == [[1], [3, 6], [5, 2, 0, 4]]


def test_rows_are_padded_to_a_grain_but_never_beyond_the_longest_of_all():
    grain = Grain(tokens=8)
    assert [grain.width(n) for n in (1, 8, 9, 50)] == [8, 8, 16, 56]
    assert [Grain(tokens=8, longest=50).width(n) for n in (1, 9, 48, 49, 50)] == [8, 16, 48, 50, 50]
    assert ANY.width(13) == 13


@given(LENGTHS, GRAINS)
def test_evaluation_batches_are_bounded_and_hold_every_row_once(lengths, grain):
    parts = evaluation_batches(lengths, 5, 300, grain)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    for part in parts:
        assert len(part) <= 5
        assert len(part) == 1 or grain.width(max(lengths[i] for i in part)) * len(part) <= 300


def test_evaluation_batches_by_hand():
    lengths = [9, 50, 12, 40, 8, 16, 33]
    assert evaluation_batches(lengths, 5, 300) == [[1, 3, 6, 5, 2], [0, 4]]
    assert evaluation_batches(lengths, 5, 300, Grain(rows=4, tokens=8)) == [[1, 3, 6, 5], [2, 0, 4]]
    assert evaluation_batches(lengths, 5, 100, Grain(rows=4, tokens=8)) == [[1], [3, 6], [5, 2, 0, 4]]


def test_collate_pads_on_the_right():
    rows = [
        {"input_ids": [1, 2], "attention_mask": [1, 1], "labels": 3},
        {"input_ids": [7], "attention_mask": [1], "labels": 0},
    ]
    batch = collate(rows, pad_token_id=9)
    wider = collate(rows, 9, Grain(tokens=4))
    assert wider["input_ids"].tolist() == [[1, 2, 9, 9], [7, 9, 9, 9]]
    assert wider["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]
    assert batch["input_ids"].tolist() == [[1, 2], [7, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["labels"].tolist() == [3, 0]
