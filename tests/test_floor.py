"""The bag of edits: a distribution, the same from the same rows, better than chance where there is something to learn."""

import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.metrics import f1_score

from irtuning.floor import STRENGTH, STRENGTHS, edit_words, train_floor
from irtuning.revisions.corpora import Revision, load_corpus

COLOURS = ("red", "green", "blue", "grey", "pink", "brown", "white", "black")


def rows(count, start=0):
    """A word is added, or a word is replaced by another: two labels that words and numbers tell apart."""
    made = []
    for i in range(start, start + count):
        before = f"the {COLOURS[i % 8]} cat {i} sat on the {COLOURS[(i // 8) % 8]} mat"
        if i % 2:
            made.append(Revision(before, before.replace("sat", "sat down"), "longer"))
        else:
            made.append(Revision(before, before.replace("cat", "dog"), "other"))
    return made


def pairs(some):
    return [(r.before, r.after) for r in some]


def test_edit_words_are_signed_and_lower_case():
    assert edit_words("The old, red door", "The new door.") == {"-old", "-,", "-red", "+new", "+."}
    assert edit_words("", "So it was") == {"+so", "+it", "+was"}


def test_a_mere_space_that_went_or_came_is_an_edit_word_of_its_own():
    assert edit_words("He came , then left.", "He came, then left.") == {"-"}
    assert edit_words("He came,then\n left.", "He came, then left. ") == {"+"}
    assert edit_words("the mat ", " the red  mat") == {"+red"}


def test_probabilities_are_distributions_in_the_order_of_the_labels():
    floor = train_floor(rows(60), ("other", "unseen", "longer"), seed=1)
    found = floor.probabilities(pairs(rows(20, start=100)))
    assert found.shape == (20, 3)
    assert np.allclose(found.sum(axis=1), 1)
    assert (found[:, 1] == 0).all()
    truth = [0 if r.label == "other" else 2 for r in rows(20, start=100)]
    assert (found.argmax(axis=1) == truth).all()
    assert floor.probabilities([]).shape == (0, 3)


def test_the_same_rows_and_seed_give_the_same_floor_to_the_bit():
    one, two = (train_floor(rows(60), ("longer", "other"), seed=3, validation=rows(20, 200)) for _ in range(2))
    assert one.strength == two.strength
    assert np.array_equal(one.probabilities(pairs(rows(9, 300))), two.probabilities(pairs(rows(9, 300))))


def test_validation_rows_choose_the_strength():
    assert train_floor(rows(60), ("longer", "other"), seed=1).strength == STRENGTH
    chosen = train_floor(rows(60), ("longer", "other"), seed=1, validation=rows(20, 200)).strength
    assert chosen in STRENGTHS


def test_rows_without_a_common_word_and_unusual_pairs_are_no_hindrance():
    some = [Revision(f"a{i}", f"b{i}" if i % 2 else "", "xy"[i % 2]) for i in range(8)]
    floor = train_floor(some, ("x", "y"), seed=1)
    odd = [("", "new"), ("old", ""), ("😀", "\u2028"), ("same", "same"), ("x " * 9000, "y " * 9000)]
    found = floor.probabilities(odd)
    assert np.isfinite(found).all()


def test_it_learns_the_starter_corpus_in_seconds():
    corpus = load_corpus("starter")
    start = time.process_time()
    floor = train_floor(corpus.train, corpus.labels, 171, corpus.validation)
    probabilities = floor.probabilities(pairs(corpus.test))
    assert time.process_time() - start < 10  # two cores may share the work, and each counts
    predicted = [corpus.labels[i] for i in probabilities.argmax(axis=1)]
    assert f1_score([r.label for r in corpus.test], predicted, average="macro") > 0.6


@pytest.mark.parametrize(
    "module", ["irtuning.floor", "irtuning.revisions.corpora", "irtuning.revisions.encoding", "irtuning.revisions.hub"]
)
def test_importing_loads_nothing_heavy(module):
    heavy = {"torch", "transformers", "datasets", "sklearn", "scipy", "pandas", "gradio", "plotly", "openpyxl", "numpy"}
    code = f"import sys, {module}; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("labels", [("0", "1"), ("1", "10"), ("a", "7"), ("01", "1")])
def test_labels_may_be_numbers(labels):
    one, other = labels
    rows = [Revision(f"He go home {i}.", f"He goes home {i}.", one) for i in range(6)]
    rows += [Revision(f"It was late {i}.", f"However, it was late {i}.", other) for i in range(6)]
    trained = train_floor(rows, labels, 0, rows)
    assert trained.probabilities([("She go out.", "She goes out."), ("We ate.", "However, we ate.")]).argmax(axis=1).tolist() == [0, 1]
