"""What a live view is told: complete, small, and the same whatever was remembered."""

from __future__ import annotations

import asyncio
import base64
import json
import time

import numpy as np
import pytest

from irtuning import events
from irtuning.errors import RunError
from irtuning.insight.columns import merge_columns
from irtuning.insight.history import RunHistory
from irtuning.runs.store import RunStore, claim
from irtuning.ui.answers import appended, mask_hex, rounded, step_row, whole
from irtuning.ui.updates import MOST_BACKLOG, RunReader, failure
from tests.simulated import plain, simulate, write_run

RUN = "brisk-otter-3f2a"


def lines(made):
    return "".join(events.to_line(event) + "\n" for event in made)


def numbers(text, kind):
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def big_steps(layers, first, last):
    random = np.random.default_rng(1)
    for step in range(first, last + 1):
        chosen = np.flatnonzero(random.random(layers) < 0.5).tolist()
        scores = [float(random.random()) + 0.5 if layer in chosen else None for layer in range(layers)]
        yield events.Step(step=step, time=step * 3.0, epoch=step / 100, loss=1.234567, learning_rate=1e-4, scores=scores,
                          selected=chosen, moved=chosen, seconds=3.1234, tokens=900, memory_mib=1800.0)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path)


def test_a_reset_tells_the_whole_run(store, tmp_path):
    folder = write_run(tmp_path, RUN, simulate(layers=6, steps=30))
    answer = RunReader(store).poll(RUN)
    history = RunHistory()
    history.feed(events.read_lines((folder / "events.jsonl").read_bytes())[1])
    columns = merge_columns(history)
    assert answer["reset"]
    assert answer["state"] == "finished"
    assert answer["offset"] == (folder / "events.jsonl").stat().st_size
    assert answer["head"] == {
        "run": RUN, "name": "brisk-otter", "model": "smollm2-135m", "corpus": "starter",
        "method": "ir", "metric": "gradient", "recorded": False, "layers": 6, "unit": "layer", "names": [], "steps": 30,
    }
    packed = answer["columns"]
    assert (packed["width"], packed["first"], packed["end"]) == (1, 1, 31)
    np.testing.assert_allclose(numbers(packed["norms"], "<f4").reshape(30, 6), columns.norms, rtol=1e-6)
    np.testing.assert_array_equal(numbers(packed["trained"], "<u2").reshape(30, 6), history.selected)
    np.testing.assert_allclose(numbers(packed["medians"], "<f4"), history.medians, rtol=1e-6)
    assert [row[0] for row in answer["tail"]] == list(range(7, 31))
    assert [0, "validation", "floor", 0.55] in answer["evaluations"]
    assert [30, "test", "network", 0.58] in answer["evaluations"]
    assert answer["ending"]["kind"] == "finished"


def test_when_the_waiting_was_over_is_told_either_way():
    waited = plain(
        events.Phase(name="waiting", time=1.0), events.Phase(name="loading", time=41.0), events.Phase(name="encoding", time=43.0)
    )
    history = RunHistory()
    history.feed(waited)
    assert whole(history, 0.0)["began"] == 41.0
    assert appended(waited)["began"] == 41.0
    assert "began" not in appended(waited[:1])


def test_what_is_appended_is_what_was_written_since(store, tmp_path):
    made = list(simulate(layers=6, steps=30))
    folder = write_run(tmp_path, RUN, iter(made[:12]))
    (folder / "private.json").write_text("{}")  # made here, so that it waits
    reader = RunReader(store)
    offset = reader.poll(RUN)["offset"]
    assert reader.poll(RUN, offset) == {"offset": offset, "state": "queued", "place": 0}
    new = [made[12], events.Notice(level="warning", text="hear <b>this</b>"), made[13]]
    with (folder / "events.jsonl").open("a") as stream:
        stream.write(lines(new) + '{"kind":"step","torn')
    answer = reader.poll(RUN, offset)
    assert answer["steps"] == [step_row(event) for event in plain(made[12], made[13])]
    assert answer["notices"] == [{"level": "warning", "text": "hear <b>this</b>"}]
    assert "reset" not in answer
    assert answer["offset"] == offset + len(lines(new))
    assert RunReader(store).poll(RUN, offset) == answer


def test_that_a_run_was_asked_to_stop_is_told_while_it_goes_on(store, tmp_path):
    folder = write_run(tmp_path, RUN, iter(list(simulate(layers=6, steps=5))[:-1]))
    claim(folder)
    reader = RunReader(store)
    first = reader.poll(RUN)
    assert first["state"] == "running"
    assert "stopping" not in first
    store.request_stop(RUN)
    assert reader.poll(RUN, first["offset"])["stopping"] is True
    with (folder / "events.jsonl").open("a") as stream:
        stream.write(lines([events.Stopped(what="It was stopped.")]))
    assert "stopping" not in reader.poll(RUN)


def test_a_step_s_row_keeps_scores_by_the_mask_and_four_digits():
    row = step_row(plain(events.Step(
        step=7, time=12.34567, epoch=0, loss=None, learning_rate=0, scores=[0.123456, None, 1234.56, None, None], selected=[0, 2],
        moved=[], seconds=0.1, tokens=1, memory_mib=10.0,
    ))[0])
    assert row == [7, 12.34567, None, 0.1, 10.0, "a0", "", [0.1235, 1235.0]]
    row = step_row(plain(events.Step(
        step=7, time=1, epoch=0, loss=1.0, learning_rate=0, scores=[None, 0.5, None], selected=[0, 1], moved=[], seconds=0.1,
        tokens=1, memory_mib=10.0,
    ))[0])
    assert row[5:] == ["c", "4", [0.5]]


@pytest.mark.parametrize("flags", [[], [True], [False, True, True], [True] * 4, [False] * 9 + [True]])
def test_mask(flags):
    text = mask_hex(flags)
    back = [bool(int(text[i >> 2], 16) >> (3 - (i & 3)) & 1) for i in range(len(flags))]
    assert back == flags
    assert len(text) == -(-len(flags) // 4)


def test_a_run_that_starts_training_or_resumes_is_told_anew(store, tmp_path):
    made = list(simulate(layers=6, steps=20))
    start = next(i for i, event in enumerate(made) if event.kind == "run_started")
    folder = write_run(tmp_path, RUN, iter(made[:start]))
    reader = RunReader(store)
    first = reader.poll(RUN)
    assert first["head"]["layers"] == 0
    assert first["columns"]["norms"] == ""
    assert first["phase"]["name"] == "floor"
    with (folder / "events.jsonl").open("a") as stream:
        stream.write(lines(made[start : start + 12]))
    second = reader.poll(RUN, first["offset"])
    assert second["reset"]
    assert second["head"]["layers"] == 6
    assert second["columns"]["end"] > 5
    with (folder / "events.jsonl").open("a") as stream:
        stream.write(lines([events.Resumed(from_step=3)]))
    assert reader.poll(RUN, second["offset"])["columns"]["end"] == 4


def test_a_file_that_shrank_is_told_anew(store, tmp_path):
    folder = write_run(tmp_path, RUN, simulate(layers=6, steps=20))
    reader = RunReader(store)
    offset = reader.poll(RUN)["offset"]
    (folder / "events.jsonl").write_text(lines(list(simulate(layers=6, steps=20))[:9]))
    answer = reader.poll(RUN, offset)
    assert answer["reset"]
    assert answer["columns"]["end"] == 3


@pytest.mark.slow
def test_answers_stay_small_however_long_the_run_is(store, tmp_path):
    head = [event for event in simulate(layers=80, steps=3) if event.kind != "step"][:7]
    head = [event.model_copy(update={"steps": 10_000}) if event.kind == "run_started" else event for event in head]
    folder = write_run(tmp_path, RUN, iter(head))
    path, reader = folder / "events.jsonl", RunReader(store)
    sizes, resets, first = {}, {}, 1
    for until in (100, 10_000):
        with path.open("a") as stream:
            stream.write(lines(big_steps(80, first, until)))
        answer = reader.poll(RUN)
        resets[until] = len(json.dumps(answer))
        with path.open("a") as stream:
            stream.write(lines(big_steps(80, until + 1, until + 1)))
        sizes[until] = len(json.dumps(reader.poll(RUN, answer["offset"])))
        first = until + 2
    assert max(resets.values()) < 256 * 1024
    assert max(sizes.values()) < 2048
    assert abs(sizes[10_000] - sizes[100]) < 64
    began = time.perf_counter()
    behind = reader.poll(RUN, 2000)
    assert behind["reset"]
    assert len(json.dumps(behind)) < 256 * 1024
    assert time.perf_counter() - began < 2


def test_the_largest_backlog_that_is_appended_is_below_the_limit(store, tmp_path):
    folder = write_run(tmp_path, RUN, simulate(layers=80, steps=3))
    offset = (folder / "events.jsonl").stat().st_size
    with (folder / "events.jsonl").open("a") as stream:
        for event in big_steps(80, 4, 10_000):
            if stream.tell() - offset > MOST_BACKLOG - 8_000:
                break
            stream.write(lines([event]))
            stream.flush()
    answer = RunReader(store).poll(RUN, offset)
    assert "reset" not in answer
    assert 20_000 < len(json.dumps(answer)) < 256 * 1024


def test_explaining_needs_no_memory_of_earlier_questions(store, tmp_path):
    write_run(tmp_path, RUN, simulate(layers=30, steps=20))
    fresh, kept = RunReader(store), RunReader(store)
    kept.poll(RUN)
    told = fresh.explain(RUN, 15)
    assert told == kept.explain(RUN, 15)
    assert told["trained"] == mask_hex([True] * told["kept"] + [False] * (30 - told["kept"]))
    assert len(json.dumps(told)) < 2048
    with pytest.raises(RunError, match="Step 21 is not on record"):
        fresh.explain(RUN, 21)


def test_histories_that_are_remembered_are_few(store, tmp_path):
    reader = RunReader(store, keep=2)
    for number in range(4):
        write_run(tmp_path, f"calm-heron-000{number}", simulate(layers=3, steps=3))
        assert reader.poll(f"calm-heron-000{number}")["columns"]["end"] == 4
    assert len(reader._kept) == 2


def test_waiting_ends_when_the_file_grows_or_the_time_is_over(store, tmp_path):
    folder = write_run(tmp_path, RUN, simulate(layers=3, steps=3))
    reader, size = RunReader(store), (folder / "events.jsonl").stat().st_size

    async def both():
        began = time.perf_counter()
        await reader.wait(RUN, size, 0.2)
        over = time.perf_counter() - began
        waiting = asyncio.create_task(reader.wait(RUN, size, 5))
        await asyncio.sleep(0.1)
        with (folder / "events.jsonl").open("a") as stream:
            stream.write("\n")
        await asyncio.wait_for(waiting, 2)
        return over

    assert asyncio.run(both()) >= 0.2


def test_there_is_no_such_run(store):
    with pytest.raises(RunError):
        RunReader(store).poll("../etc")


def test_of_an_error_nobody_foresaw_only_the_log_hears(caplog):
    told = failure(ValueError("secret /home/me"))
    assert "secret" not in json.dumps(told)
    assert "secret" in caplog.text
    assert failure(RunError("There is none.", "Look again.")) == {"error": "There is none. Look again."}


def test_rounded():
    assert rounded(1.23456) == 1.235
    assert rounded(None) is None
    assert rounded(float("nan")) is None
    assert rounded(0.0) == 0.0


def test_that_there_is_an_adapter_to_try_is_told_once_the_run_has_ended(store, tmp_path):
    made = list(simulate(layers=6, steps=5))
    folder = write_run(tmp_path, RUN, iter(made[:-1]))
    assert "adapter" not in RunReader(store).poll(RUN) or store.state(RUN) == "lost"
    with (folder / "events.jsonl").open("a") as stream:
        stream.write(lines([events.Stopped(what="It was ended. No adapter was saved.")]))
    assert RunReader(store).poll(RUN)["adapter"] is False
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"x")
    answer = RunReader(store).poll(RUN)
    assert answer["adapter"] is True
    assert RunReader(store).poll(RUN, answer["offset"])["adapter"] is True
