import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from irtuning.config import RunConfig
from irtuning.errors import CorpusError
from irtuning.insight.estimate import Sizes
from irtuning.revisions.corpora import Columns, load_corpus, read_table
from irtuning.runs.store import RunStore
from irtuning.ui import own_corpus
from irtuning.ui.corpus import columns_for_config, forget_unused, is_table, keep, preview, sizes_of, summary
from irtuning.ui.own_corpus import SAMPLE, OwnCorpus, checked, describe, named


@pytest.fixture
def mine(tmp_path):
    rows = [f"<b>old</b> {i},new {i},{'ab'[i % 2]},d{i % 9}" for i in range(40)]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["old,new,why,writer", *rows]), encoding="utf-8")
    return path


def test_an_upload_is_kept_once_and_is_no_run(tmp_path, mine):
    home = tmp_path / "runs"
    first, second = keep(mine, home), keep(mine, home)
    assert first == second
    assert first.read_bytes() == mine.read_bytes()
    assert first.name == "mine.csv"
    assert [path.name for path in home.iterdir()] == [".uploads"]


@pytest.mark.parametrize(("name", "kept"), [("a b?.csv", "a-b-.csv"), ("..csv", "csv"), ("häuser.tsv", "häuser.tsv")])
def test_an_uploads_name_stays_inside_its_folder(tmp_path, name, kept):
    path = tmp_path / name
    path.write_text("x")
    assert keep(path, tmp_path / "runs").name == kept


def test_an_upload_that_nobody_used_for_long_is_forgotten(tmp_path, mine):
    store = RunStore(tmp_path / "runs")
    other = tmp_path / "other.csv"
    other.write_text("text,revised,why\na,b,c\n")
    used, unused = keep(mine, store.home), keep(other, store.home)
    store.create(RunConfig(model_name="minilm", dataset_name=str(used)))
    week = 7 * 24 * 3600
    for age, left in ((week - 60, True), (week + 60, False)):
        for path in (used, unused):
            os.utime(path.parent, (0, time.time() - age))
        forget_unused(store.home, store.corpora())
        assert used.is_file()
        assert unused.is_file() is left
    os.utime(used.parent, (0, 0))
    keep(mine, store.home)
    assert time.time() - used.parent.stat().st_mtime < 60


def test_five_rows_are_shown_as_text(mine):
    names, rows = read_table(mine)
    made = preview(names, rows)
    assert made.count("<tr>") == 6
    assert "<b>" not in made
    assert "first 5 of 40 rows" in made
    assert len(preview(["t"], [{"t": "x" * 5000}])) < 1000


def test_a_run_on_it_is_described(mine):
    columns = Columns("old", "new", "why", "writer")
    made = summary(load_corpus(str(mine), columns))
    assert "to train on" in made
    assert made.count("ir-bar-row") == 2
    assert ">20<" in made


def test_needed_columns_are_asked_for_by_name(mine):
    with pytest.raises(CorpusError, match="No file was chosen"):
        checked(None, Columns())
    with pytest.raises(CorpusError, match="intention"):
        checked(str(mine), Columns("old", "new", None, None))
    assert "intention" in describe(str(mine), Columns("old", "new"))


def test_only_unusual_columns_are_in_the_request():
    assert columns_for_config(Columns("before", "after", "label", "doc_id")) == {}
    assert columns_for_config(named("old", "after", "why", "")) == {"before_column": "old", "label_column": "why", "doc_column": ""}
    assert columns_for_config(Columns("old", "after", "why", None)) == {"before_column": "old", "label_column": "why"}


def test_sizes_are_known_for_what_lies_here_and_open_for_what_must_be_fetched(mine):
    found = sizes_of(str(mine), Columns("old", "new", "why", "writer"), use_instruction=False)
    assert isinstance(found, Sizes)
    assert found.train + found.validation + found.test == 40
    assert sizes_of("starter", Columns(), use_instruction=False).test >= 100
    assert sizes_of("iterater-human", Columns(), use_instruction=False) is None
    assert sizes_of("someone/corpus", Columns(), use_instruction=False) is None
    with pytest.raises(CorpusError):
        sizes_of("no-such-corpus", Columns(), use_instruction=False)


def test_the_sample_file_can_be_trained_on():
    names, rows = read_table(SAMPLE)
    assert names == ["before", "after", "label", "doc_id"]
    assert len(rows) >= 10
    assert load_corpus(str(SAMPLE)).labels


def test_a_class_that_sends_the_same_file_at_once_gets_it_whole(tmp_path, mine):
    mine.write_bytes(mine.read_bytes() * 2000)
    with ThreadPoolExecutor(16) as pool:
        kept = list(pool.map(lambda _: keep(mine, tmp_path / "runs").read_bytes(), range(32)))
    assert all(data == mine.read_bytes() for data in kept)
    assert [path.name for path in (tmp_path / "runs" / ".uploads").glob("*/*")] == ["mine.csv"]


def test_what_is_neither_file_nor_folder_is_said_in_a_sentence():
    with pytest.raises(CorpusError, match="'null' cannot be read"):
        sizes_of("/dev/null", Columns(), use_instruction=False)


def test_a_file_is_shown_with_the_columns_that_were_chosen_before(mine):
    part = OwnCorpus(None, [], [])
    path, seen, _, before, _, label, doc, told = part.shown(str(mine), Columns("old", "new", "why", ""))
    assert path == str(mine)
    assert "mine.csv" in seen
    assert (before.value, label.value, doc.value) == ("old", "why", "")
    assert "to train on" in told
    assert OwnCorpus.shows(str(mine), path, "old", "new", "why", "")
    assert not OwnCorpus.shows("starter", path)
    assert not OwnCorpus.shows(str(mine), None)
    assert is_table(str(mine))
    assert not is_table(str(mine.parent))
    assert not is_table("starter")


def test_a_file_too_large_to_be_looked_at_can_be_trained_on_by_its_usual_columns(tmp_path, monkeypatch):
    large = tmp_path / "large.csv"
    large.write_text("before,after,label\na,b,c\n")
    monkeypatch.setattr(own_corpus, "LARGEST_READ_BYTES", 10)
    part = OwnCorpus(None, [], [])
    path, seen, _, before, *_ = part.shown(str(large), Columns())
    assert path == str(large)
    assert "too large to be looked at here" in seen
    assert not before.value
    assert part.choice(path, None, None, None, None) == (str(large), {})
    # As for a run that is to be made again.
    _, _, _, before, after, label, doc, _ = part.shown(str(large), Columns(label="why"))
    chosen = [box.value or None for box in (before, after, label, doc)]
    assert chosen == [None, None, "why", None]
    assert part.choice(path, *chosen) == (str(large), {"label_column": "why"})
