"""A pair as a model's input: its forms, and cutting a long one around its change."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irtuning.errors import AdapterError, ConfigError, RevisionError
from irtuning.revisions.encoding import CUT, Encoding, check_pair, make_encoding, marked

LABELS = ("clarity", "style")
KINDS = ("pair", "marked", "text", "instruction")


def count(text):
    """Tokens of a tokenizer that knows every word but splits brackets off."""
    for sign in "[]{}":
        text = text.replace(sign, f" {sign} ")
    return len(text.split())


def make(kind=None, max_length=256, decoder=False, instruction=False):
    return make_encoding(
        use_instruction=instruction, is_decoder=decoder, labels=LABELS, max_length=max_length, kind=kind
    )


def length(rendered, overhead=3):
    return count(rendered.text) + count(rendered.text_pair or "") + overhead


def numbered(start, end):
    return " ".join(f"w{i}" for i in range(start, end))


def test_the_kind_follows_from_model_and_instruction():
    assert (make().kind, make().is_pair) == ("marked", False)
    assert (make(kind="pair").kind, make(kind="pair").is_pair) == ("pair", True)
    assert make(decoder=True).render("x", "y", count, 1).text == "Revision: [x] {y}\nIntention:"
    assert make(instruction=True).kind == "instruction"
    assert make(decoder=True, instruction=True).is_pair is False
    assert make(kind="marked", instruction=True).kind == "marked"


def test_each_kind_holds_what_it_says():
    pair = make(kind="pair").render("the  old\nway ", "the new way", count, 3)
    assert (pair.text, pair.text_pair, pair.cut) == ("the old way", "the new way", False)
    assert make(kind="text", decoder=True).render("x", "", count, 1).text == "Before: x\nAfter: \nIntention:"
    told = make(decoder=True, instruction=True).render("x", "y", count, 1)
    assert "clarity, style" in told.text
    assert told.text.endswith("Before: x\nAfter: y\nIntention:")
    both = make(kind="marked").render("the old way", "the new way", count, 3)
    assert (both.text, both.text_pair) == ("the [old] {new} way", None)
    assert make(instruction=True).render("a b", "a c", count, 3).text.endswith("Revision: a [b] {c}")


def test_texts_that_look_like_the_template_stay_as_they_are():
    found = make(decoder=True, instruction=True).render("a {after} {labels} {pair}", "b {before}", count, 1)
    assert "Before: a {after} {labels} {pair}\nAfter: b {before}\n" in found.text
    assert make(kind="pair").render("{pair}", "x{pair}y", count, 3).text_pair == "x{pair}y"


def test_marks_stand_around_what_went_and_came():
    assert marked("", "all new") == "{all new}"
    assert marked("all gone", "") == "[all gone]"
    assert marked("it's monday", "It's Monday") == "[it's monday] {It's Monday}"
    assert marked("a {} b", "a {} c") == "a {} [b] {c}"


def test_a_space_that_alone_went_or_came_is_marked():
    assert marked("foo , bar", "foo, bar") == "foo [ ] , bar"
    assert marked("foo, bar", "foo , bar") == "foo { } , bar"
    # Beside a changed word, whose marks tell of the edit, it is left out.
    assert marked("foo bar", "foo,bar") == "foo {,} bar"


def test_a_line_break_parts_two_texts_where_the_tokenizer_puts_nothing_between_them():
    joined = make_encoding(use_instruction=False, is_decoder=True, labels=LABELS, max_length=64, kind="pair", separates=False)
    added, removed = (joined.render(*pair, count, 0) for pair in (("", "x"), ("x", "")))
    assert (added.text, added.text_pair) == ("\n", "x")
    assert (removed.text, removed.text_pair) == ("x\n", "")
    marked_one = make_encoding(use_instruction=False, is_decoder=True, labels=LABELS, max_length=64, separates=False)
    assert marked_one == make(max_length=64, decoder=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decoder", [False, True])
def test_an_encoding_survives_its_way_through_json(kind, decoder):
    encoding = make(kind=kind, decoder=decoder)
    again = Encoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    assert again == encoding
    assert hash(again) == hash(encoding)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {**make().to_dict(), "kind": "other"},
        {**make().to_dict(), "labels": [1]},
        {**make().to_dict(), "template": "x"},
    ],
)
def test_what_is_no_encoding_is_refused(values):
    with pytest.raises(AdapterError):
        Encoding.from_dict(values)


def test_a_long_pair_keeps_the_same_words_around_its_change():
    before = f"{numbered(0, 100)} old {numbered(100, 200)}"
    after = f"{numbered(0, 100)} new {numbered(100, 200)}"
    found = make(kind="pair", max_length=43).render(before, after, count, 3)
    assert found.cut
    assert length(found) <= 43
    assert found.text == f"{CUT} {numbered(92, 100)} old {numbered(100, 109)} {CUT}"
    assert found.text_pair == f"{CUT} {numbered(92, 100)} new {numbered(100, 109)} {CUT}"


def test_a_change_near_an_end_leaves_its_room_to_the_other_side():
    before, after = f"old {numbered(0, 200)}", f"new {numbered(0, 200)}"
    found = make(kind="pair", max_length=43).render(before, after, count, 3)
    assert found.text == f"old {numbered(0, 18)} {CUT}"
    found = make(kind="pair", max_length=43).render(before[4:] + " old", after[4:] + " new", count, 3)
    assert found.text == f"{CUT} {numbered(182, 200)} old"


def test_of_too_many_changed_words_the_beginnings_stay_and_a_short_side_gives_its_room_away():
    before = f"{numbered(0, 50)} gone {numbered(50, 60)}"
    after = f"{numbered(0, 50)} {numbered(900, 990)} {numbered(50, 60)}"
    found = make(kind="pair", max_length=33).render(before, after, count, 3)
    assert found.text == f"{CUT} gone {CUT}"
    assert found.text_pair.startswith(f"{CUT} w900 w901")
    assert 31 <= length(found) <= 33
    added = make(kind="pair", max_length=33).render("", numbered(0, 100), count, 3)
    assert (added.text, added.text_pair) == ("", f"{numbered(0, 29)} {CUT}")


def test_a_word_without_end_is_cut_too():
    def characters(text):
        return len(text)

    found = make(kind="pair", max_length=40).render("a" * 500, "b" * 500, characters, 3)
    assert found.cut
    assert found.text.startswith("aaa")
    assert characters(found.text) + characters(found.text_pair) <= 37


@pytest.mark.parametrize("kind", KINDS)
@given(
    before=st.text(alphabet="ab .\n{}é…", max_size=160),
    after=st.text(alphabet="ab .\n{}é…", max_size=160),
    spare=st.integers(0, 60),
)
def test_no_input_is_longer_than_allowed_and_only_cut_ones_are_changed(kind, before, after, spare):
    def characters(text):
        # No tokenizer makes more tokens than bytes, but for one that marks a text's beginning.
        return min(len(text.split()) * 2 + len(text) // 4, len(text.encode()) + 1)

    with pytest.raises(ConfigError) as caught:
        make(kind=kind, max_length=4).render(before, after, characters, 3)
    least = int(caught.value.advice.split()[3])
    encoding = make(kind=kind, max_length=least + spare)
    found = encoding.render(before, after, characters, 3)
    assert characters(found.text) + characters(found.text_pair or "") + 3 <= encoding.max_length
    whole = make(kind=kind, max_length=5000).render(before, after, characters, 3)
    assert found.cut is (characters(whole.text) + characters(whole.text_pair or "") + 3 > encoding.max_length)
    if not found.cut:
        assert found == whole


@pytest.mark.parametrize(("kind", "least"), [("pair", 19), ("text", 21), ("marked", 23)])
def test_a_length_too_short_for_a_pair_names_the_least_that_works(kind, least):
    with pytest.raises(ConfigError, match="too short to hold a pair") as caught:
        make(kind=kind, max_length=least - 1).render("x", "y", count, 3)
    assert f"{least} or more" in caught.value.advice
    make(kind=kind, max_length=least).render("x", "y", count, 3)


def test_short_pairs_are_not_tokenised_to_be_measured():
    def forbidden(text):
        raise AssertionError("counted")

    make(max_length=256).render("a short text", "a shorter text", forbidden, 3)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("", " \n", "both texts are empty"),
        ("a  b", "a b", "the two texts are the same"),
        ("x" * 20_001, "y", "20,001 characters"),
        ("x", "y" * 20_001, "The text after"),
    ],
)
def test_pairs_that_are_no_revision_are_refused(before, after, says):
    with pytest.raises(RevisionError, match=says) as caught:
        check_pair(before, after)
    with pytest.raises(RevisionError, match="The text before is missing"):
        check_pair(None, after)
    assert caught.value.advice


def test_additions_and_deletions_are_revisions():
    check_pair("", "y" * 20_000)
    check_pair("x", "")


@pytest.mark.parametrize(("before", "after", "side"), [("caf\udce9", "cafe", "before"), ("cafe", "\ud800", "after")])
def test_a_text_that_was_not_decoded_whole_is_refused(before, after, side):
    with pytest.raises(RevisionError, match=f"The text {side} is not UTF-8"):
        check_pair(before, after)
    check_pair("café 🎉", "cafe")
