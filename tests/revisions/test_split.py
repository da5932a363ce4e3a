"""Splitting by hashes: nothing lost, nothing twice, the same whatever the order."""

from hypothesis import given
from hypothesis import strategies as st

from irtuning.revisions.split import FILE_SHARES, TRAINING_SHARES, by_groups, by_rows, faults

GROUPS = st.lists(st.sampled_from([f"d{i}" for i in range(12)]), min_size=1, max_size=80)
LABELS = st.lists(st.sampled_from("abc"), min_size=1, max_size=80)


@given(GROUPS)
def test_groups_stay_whole_and_every_row_is_in_one_part(groups):
    parts = by_groups(groups, FILE_SHARES)
    assert sorted(i for rows in parts.values() for i in rows) == list(range(len(groups)))
    homes = {}
    for part, rows in parts.items():
        for i in rows:
            assert homes.setdefault(groups[i], part) == part


@given(LABELS)
def test_rows_are_all_in_one_part_and_common_labels_in_every_part(labels):
    parts = by_rows([str(i) for i in range(len(labels))], labels, FILE_SHARES)
    assert sorted(i for rows in parts.values() for i in rows) == list(range(len(labels)))
    for label in set(labels):
        if labels.count(label) >= 4:
            assert all(label in {labels[i] for i in rows} for rows in parts.values())
        if labels.count(label) >= 2:
            assert sum(labels[i] == label for i in parts["train"]) >= 2


@given(st.permutations(range(30)))
def test_the_order_of_rows_does_not_matter(order):
    groups, labels = [f"d{i % 10}" for i in range(30)], ["ab"[i % 2] for i in range(30)]
    texts = [f"text {i}" for i in range(30)]
    plain = by_groups(groups, FILE_SHARES)
    mixed = by_groups([groups[i] for i in order], FILE_SHARES)
    assert {p: {order[i] for i in rows} for p, rows in mixed.items()} == {p: set(rows) for p, rows in plain.items()}
    plain = by_rows(texts, labels, FILE_SHARES)
    mixed = by_rows([texts[i] for i in order], [labels[i] for i in order], FILE_SHARES)
    assert {p: {order[i] for i in rows} for p, rows in mixed.items()} == {p: set(rows) for p, rows in plain.items()}


def test_shares_are_about_seventy_fifteen_fifteen():
    parts = by_groups([f"writer {i % 100}" for i in range(1000)], FILE_SHARES)
    assert [len(parts[p]) for p in ("train", "validation", "test")] == [700, 150, 150]
    parts = by_rows([f"row {i}" for i in range(1000)], ["ab"[i % 2] for i in range(1000)], TRAINING_SHARES)
    assert {p: len(rows) for p, rows in parts.items()} == {"train": 850, "validation": 150}


def test_rows_with_the_same_texts_stay_together():
    texts = [f"text {i // 2}" for i in range(200)]
    labels = ["ab"[i % 2] for i in range(200)]  # each text once with either label
    parts = by_rows(texts, labels, FILE_SHARES)
    homes = [{texts[i] for i in rows} for rows in parts.values()]
    assert not homes[0] & homes[1]
    assert not homes[0] & homes[2]
    assert not homes[1] & homes[2]


def test_faults_are_empty_parts_and_lost_labels_that_are_not_rare():
    labels = ["a"] * 96 + ["b"] * 3 + ["c"]
    assert faults({"train": [*range(50), 96, 97], "test": [*range(50, 96), 98, 99]}, labels) == []
    assert faults({"train": list(range(100)), "test": []}, labels) == ["no rows for test"]
    labels = ["a"] * 90 + ["b"] * 10
    assert faults({"train": list(range(80)) + list(range(90, 100)), "test": list(range(80, 90))}, labels) == [
        "no 'b' in test"
    ]
    # Fewer than ten, but a tenth of a small file.
    assert faults({"train": [0, 1, 4, 5, 6, 7], "test": [2, 3]}, ["a"] * 4 + ["b"] * 4) == ["no 'b' in test"]


def test_training_needs_two_labels_of_two_rows():
    assert faults({"train": [0, 1, 2], "test": [3]}, ["a", "a", "b", "b"]) == ["fewer than two labels to train on"]
    assert faults({"train": [0, 1, 2, 3], "test": [4]}, ["a", "a", "b", "b", "a"]) == []
