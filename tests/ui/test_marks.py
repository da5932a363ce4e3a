import html
import re

from hypothesis import given
from hypothesis import strategies as st

from irtuning.ui.marks import marked


def shown(markup, without):
    """The text that is left when one kind of mark is taken out."""
    kept = re.sub(f"<{without}[^>]*>.*?</{without}>", "", markup, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", kept))


def test_words_taken_out_and_put_in_are_marked_and_markup_is_text():
    made = marked("He go <b>home</b>.", "He goes <b>home</b>.")
    assert "<del>go</del>" in made
    assert "<ins>goes</ins>" in made
    assert "&lt;b&gt;home&lt;/b&gt;" in made


@given(st.text("ab <>&\n", max_size=40), st.text("ab <>&\n", max_size=40))
def test_both_texts_can_be_read_back(before, after):
    made = marked(before, after)
    assert shown(made, "ins").split() == before.split()
    assert shown(made, "del").split() == after.split()
