from datetime import UTC, datetime, timedelta

import pytest

from irtuning.ui.words import ago, duration, gigabytes, label, plural, score, text, took


@pytest.mark.parametrize(("seconds", "said"), [
    (0.2, "1 s"), (9.4, "9 s"), (41, "40 s"), (89, "90 s"), (95, "2 min"), (840, "14 min"), (3569, "59 min"), (3600, "1 h"),
    (7750, "2 h 10 min"), (7190, "2 h"), (40_000, "11 h"),
])
def test_durations_read_as_one_would_say_them(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(31.56, "32 s"), (89, "89 s"), (95, "2 min"), (5220, "87 min"), (7640, "2 h 7 min")])
def test_times_that_were_measured_read_as_in_a_run_s_header(seconds, said):
    assert took(seconds) == said


def test_memory_scores_and_counts():
    assert [gigabytes(g) for g in (0.02, 0.61, 9.4, 19.4)] == ["0.1 GB", "0.7 GB", "10 GB", "21 GB"]
    assert (score(0.576), score(None)) == ("0.58", "–")
    assert (plural(1, "run"), plural(1200, "run")) == ("1 run", "1,200 runs")


def test_an_intention_without_a_space_may_be_broken_at_its_slashes_and_is_text():
    assert label("Conventions/Grammar/Spelling") == "Conventions/<wbr>Grammar/<wbr>Spelling"
    assert label("<b>/x") == "&lt;b&gt;/<wbr>x"


def test_markup_is_text():
    assert text('<b onclick="x">&') == "&lt;b onclick=&quot;x&quot;&gt;&amp;"


@pytest.mark.parametrize(("before", "said"), [
    (timedelta(seconds=5), "just now"), (timedelta(minutes=5), "5 min ago"), (timedelta(hours=3), "3 h ago"),
    (timedelta(days=1, hours=2), "yesterday"), (timedelta(days=40), "10 February 2026"),
])
def test_when_something_was(before, said):
    now = datetime(2026, 3, 22, 12, tzinfo=UTC)
    assert ago((now - before).isoformat(), now) == said


@pytest.mark.parametrize("broken", [None, "", "yesterday"])
def test_no_time_is_no_words(broken):
    assert ago(broken) == ""
