"""What changed between two texts."""

import math
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irtuning.revisions.diff import bare_words, edit_numbers, split_words, words

PIECES = st.sampled_from(["a", "the", " ", "  ", "\n", "cat", ".", "Cat"])
TEXT = st.one_of(st.text(max_size=60), st.lists(PIECES).map("".join))


@given(TEXT, TEXT)
def test_pieces_give_both_texts_back_to_the_character(before, after):
    pieces = words(before, after)
    assert "".join(text for op, text in pieces if op != "insert") == before
    assert "".join(text for op, text in pieces if op != "delete") == after
    assert all(text for _, text in pieces)
    assert all(one[0] != two[0] for one, two in pairwise(pieces))


@given(TEXT)
def test_words_joined_are_the_text(text):
    assert "".join(split_words(text)) == text


def test_words_are_runs_of_letters_marks_and_single_cjk_characters():
    assert split_words(" It's well-made, 3.5 m!  ") == [" It's", " well-made", ",", " 3", ".", "5", " m", "!", "  "]
    assert split_words("हिन्दी e\u0301te\u0301 4½") == ["हिन्दी", " e\u0301te\u0301", " 4½"]
    assert split_words("🇩🇪🇫🇷 \u06dd next") == ["🇩🇪", "🇫🇷", " \u06dd", " next"]
    assert split_words("👩‍👩‍👧! ❤️") == ["👩‍👩‍👧", "!", " ❤️"]
    assert split_words("日本 go") == ["日", "本", " go"]


def test_a_replaced_word_is_deleted_then_inserted():
    assert words("the old way", "the new way") == [
        ("equal", "the"),
        ("delete", " old"),
        ("insert", " new"),
        ("equal", " way"),
    ]
    assert words("", "all new") == [("insert", "all new")]
    assert words("same", "same") == [("equal", "same")]


def test_other_white_space_alone_is_the_change():
    assert words("a  b", "a b") == [("equal", "a"), ("delete", "  "), ("insert", " "), ("equal", "b")]


SPACE = st.sampled_from(["", " ", "  "])


@given(TEXT, TEXT, st.lists(st.tuples(st.sampled_from(["a", "cat", ".", "日"]), SPACE, SPACE)))
def test_every_revision_has_a_bare_piece_that_went_or_came(before, after, respaced):
    before += "".join(word + space for word, space, _ in respaced)
    after += "".join(word + space for word, _, space in respaced)
    pieces = bare_words(before, after)
    assert any(op != "equal" for op, _ in pieces) is (before.split() != after.split())
    assert all(text == " " or text == text.strip() != "" for _, text in pieces)


def test_a_space_is_a_bare_piece_where_no_changed_word_is_beside_it():
    assert bare_words("now ,then", "now,  then") == [
        ("equal", "now"), ("delete", " "), ("equal", ","), ("insert", " "), ("equal", "then"),
    ]  # fmt: skip
    assert bare_words("a b", "a,b") == [("equal", "a"), ("insert", ","), ("equal", "b")]
    assert bare_words("a (b)", "a b")[:3] == [("equal", "a"), ("delete", "("), ("equal", "b")]


def test_a_small_word_that_happens_to_be_the_same_does_not_split_a_rewriting():
    pieces = words("my old dog walked of late", "three young cats of the city slept")
    assert pieces == [("delete", "my old dog walked of late"), ("insert", "three young cats of the city slept")]
    # Between two small replacements it stays.
    assert ("equal", " of") in words("cup of tea", "mug of milk")


@given(TEXT, TEXT)
def test_numbers_are_finite_and_always_the_same_ones(before, after):
    found = edit_numbers(before, after)
    assert list(found) == list(edit_numbers("x", "y"))
    assert all(isinstance(v, float) and math.isfinite(v) for v in found.values())


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("the cat", "the cat sat", {"only_added": 1, "only_removed": 0, "words_come": math.log1p(1), "kept": 0.8}),
        ("the cat sat", "the cat", {"only_removed": 1, "longer_by": math.log1p(7) - math.log1p(11)}),
        ("", "A line.", {"whole_added": 1, "kept": 0}),
        ("A line.", "", {"whole_removed": 1, "only_removed": 0}),
        ("so it is", "so, it is", {"only_marks": 1, "marks": 1, "only_case": 0}),
        ("on monday", "on Monday", {"only_case": 1, "only_marks": 0}),
        ("in 1990", "in 1991", {"digits_gone": 1, "digits_come": 1}),
        ("a b c d", "c d a b", {"moved": 1.0}),
        ("he go home", "he goes home", {"edits": math.log1p(1), "at_start": 0}),
    ],
)
def test_numbers_say_what_happened(before, after, expected):
    found = edit_numbers(before, after)
    assert {name: found[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("unit", ["a b ", "the of and to in ", "x"])
def test_the_longest_texts_take_no_second(unit):
    times = 20_000 // len(unit)
    before, after = f"start {unit * times}"[:20_000], f"{unit[::-1] * times} end"[:20_000]
    start = time.process_time()
    words(before, after)
    edit_numbers(before, after)
    assert time.process_time() - start < 1
