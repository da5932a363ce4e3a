"""events.jsonl: times, torn lines, offsets, many writers."""

import json
import threading
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irtuning.events import Finished, Notice, Phase, Resumed
from irtuning.insight.history import RunHistory
from irtuning.runs.log import EventLog, read_from, read_head, read_tail


def lines(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]


def test_the_first_event_has_the_wall_clock_and_all_have_seconds_since(tmp_path):
    now = [1000.0]
    log = EventLog(tmp_path, clock=lambda: now[0])
    log.append(Phase(name="waiting"))
    now[0] = 1002.5
    written = log.append(Phase(name="loading"))
    first, second = lines(tmp_path)
    assert first["started"] == "1970-01-01T00:16:40+00:00"
    assert first["time"] == 0.0
    assert "started" not in second
    assert second["time"] == written.time == 2.5


def test_another_process_goes_on_with_the_same_clock(tmp_path):
    EventLog(tmp_path, clock=lambda: 1000.0).append(Phase(name="waiting"))
    EventLog(tmp_path, clock=lambda: 1060.0).append(Phase(name="loading"))
    assert [event["time"] for event in lines(tmp_path)] == [0.0, 60.0]


def test_a_clock_set_back_does_not_turn_time_around(tmp_path):
    times = iter([1000.0, 1010.0, 900.0])
    log = EventLog(tmp_path, clock=lambda: next(times))
    for _ in range(3):
        log.append(Notice(text="x"))
    assert [event["time"] for event in lines(tmp_path)] == [0.0, 10.0, 10.0]


def test_a_torn_line_is_left_behind(tmp_path):
    EventLog(tmp_path).append(Phase(name="waiting"))
    with (tmp_path / "events.jsonl").open("ab") as stream:
        stream.write(b'{"time":1,"kind":"ph')
    _, before = read_from(tmp_path / "events.jsonl", 0)
    assert [event["kind"] for event in before] == ["phase"]
    EventLog(tmp_path).append(Finished())
    _, events = read_from(tmp_path / "events.jsonl", 0)
    assert [event["kind"] for event in events] == ["phase", "finished"]


def test_also_is_told_what_was_written(tmp_path):
    told = []
    EventLog(tmp_path, also=told.append).append(Notice(text="x"))
    assert told[0].started is not None


def test_many_threads_write_whole_lines(tmp_path):
    log = EventLog(tmp_path)
    threads = [
        threading.Thread(target=lambda: [log.append(Notice(text="y" * 500)) for _ in range(40)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = [event["time"] for event in lines(tmp_path)]
    assert len(times) == 320
    assert times == sorted(times)


@given(st.lists(st.text(max_size=40), max_size=12), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_following_gives_every_event_once_whatever_the_limit(tmp_path_factory, texts, limit):
    folder = tmp_path_factory.mktemp("log")
    log = EventLog(folder)
    for text in texts:
        log.append(Notice(text=text))
    offset, found = 0, []
    while True:
        after, events = read_from(folder / "events.jsonl", offset, limit)
        if after == offset:
            break
        assert events
        offset, found = after, found + events
    assert [event["text"] for event in found] == texts


def test_an_offset_beyond_the_end_begins_anew(tmp_path):
    EventLog(tmp_path).append(Phase(name="waiting"))
    size = (tmp_path / "events.jsonl").stat().st_size
    assert read_from(tmp_path / "events.jsonl", size) == (size, [])
    after, events = read_from(tmp_path / "events.jsonl", size + 1)
    assert after == size
    assert len(events) == 1


def test_no_file_is_an_empty_one(tmp_path):
    assert read_from(tmp_path / "events.jsonl", 12) == (0, [])
    assert read_tail(tmp_path / "events.jsonl") == []


def test_one_call_reads_no_more_than_asked(tmp_path):
    log = EventLog(tmp_path)
    for _ in range(50):
        log.append(Notice(text="z" * 1000))
    after, events = read_from(tmp_path / "events.jsonl", 0, 10_000)
    assert after <= 10_000
    assert len(events) == 9


@pytest.mark.parametrize(("limit", "least"), [(1, 0), (60, 0), (1500, 5), (10_000, 20)])
def test_the_tail_is_made_of_whole_lines(tmp_path, limit, least):
    log = EventLog(tmp_path)
    for number in range(20):
        log.append(Notice(text=f"{number} " + "x" * 100))
    tail = read_tail(tmp_path / "events.jsonl", limit)
    assert all(event["kind"] == "notice" for event in tail)
    assert len(tail) >= least
    assert [event["text"].split()[0] for event in tail] == [str(n) for n in range(20 - len(tail), 20)]


def test_the_head_ends_with_what_was_looked_for(tmp_path):
    log = EventLog(tmp_path)
    for event in (Phase(name="waiting"), Phase(name="loading"), Finished(), Phase(name="saving")):
        log.append(event)
    head = read_head(tmp_path / "events.jsonl", until="finished")
    assert [event["kind"] for event in head] == ["phase", "phase", "finished"]


def test_a_run_that_goes_on_tells_when_it_would_have_begun_without_the_pause(tmp_path):
    EventLog(tmp_path, clock=lambda: 1000.0).append(Phase(name="loading"))
    later = iter([1030.0, 90_000.0, 90_010.0])
    EventLog(tmp_path, clock=lambda: next(later)).append(Phase(name="training"))
    log = EventLog(tmp_path, clock=lambda: next(later))
    log.append(Resumed(from_step=0))
    log.append(Phase(name="loading"))
    assert [event["time"] for event in lines(tmp_path)] == [0.0, 30.0, 30.0, 40.0]
    history = RunHistory()
    history.feed(lines(tmp_path))
    assert datetime.fromisoformat(history.started).timestamp() == 90_000 - 30
    # Another process, as one that ends it, counts from there, too.
    assert EventLog(tmp_path, clock=lambda: 90_020.0).append(Finished()).time == 50.0


def test_a_clock_set_back_between_two_processes_does_not_turn_time_around(tmp_path):
    for moment in (1000.0, 1010.0, 900.0):
        EventLog(tmp_path, clock=lambda moment=moment: moment).append(Notice(text="x"))
    assert [event["time"] for event in lines(tmp_path)] == [0.0, 10.0, 10.0]
