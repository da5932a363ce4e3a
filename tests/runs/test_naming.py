"""Ids: what can be one, what people see of it, and what a message repeats of a wrong one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irtuning.runs import naming


def test_new_ids_are_ids_and_rarely_the_same():
    ids = {naming.new_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(naming.is_id(run) for run in ids)


def test_words_are_many_and_each_once():
    for words in (naming.ADJECTIVES, naming.ANIMALS):
        assert len(words) >= 60
        assert len(set(words)) == len(words)


def test_title_leaves_the_digits_out():
    assert naming.title("brisk-otter-3f2a") == "brisk-otter"
    assert naming.title("my-own") == "my-own"


@pytest.mark.parametrize(
    "wrong",
    ["", "../x", "/etc", "a/b", "a\0", "a\n", "-a", ".lock", "A", "a" * 65, "ä", None, 3, ["a"], "a..b", b"a", "x y"],
)
def test_what_no_id_is(wrong):
    assert not naming.is_id(wrong)


@given(st.text("abcz09-./_A\0\n"))
def test_an_id_is_one_plain_part_of_a_path(text):
    if naming.is_id(text):
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert 1 <= len(text) <= 64


@given(st.one_of(st.text(), st.integers(), st.none()))
def test_the_message_is_one_short_line(value):
    message = str(naming.no_such_run(value))
    assert message.isprintable()
    assert len(message) < 600
