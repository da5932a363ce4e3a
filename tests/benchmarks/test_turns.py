"""Processes in turns: never two at once, none starved, none left behind."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from tests.benchmarks.turns import take_turns

WORKS = """
import sys, time
spent = time.process_time
while spent() < 0.6:
    print(sys.argv[1], time.monotonic(), flush=True)
    before = spent()
    while spent() - before < 0.01:
        pass
"""


def started(names, code=WORKS, **more):
    return [subprocess.Popen([sys.executable, "-c", code, name], text=True, **more) for name in names]


def test_one_runs_at_a_time_and_all_come_to_their_end(tmp_path):
    with (tmp_path / "told").open("w") as told:
        processes = started("abc", stdout=told)
        assert sorted(take_turns(processes, 0.2)) == [0, 1, 2]
    assert [process.returncode for process in processes] == [0, 0, 0]
    lines = sorted((tmp_path / "told").read_text().splitlines(), key=lambda line: float(line.split()[1]))
    assert {line.split()[0] for line in lines} == {"a", "b", "c"}
    # What is not taken in turns changes with nearly every one of some 180 lines; before the first turn they may overlap.
    changes = sum(one[0] != other[0] for one, other in itertools.pairwise(lines))
    assert 4 <= changes <= 40


def test_an_interruption_leaves_none_behind():
    processes = started("ab", "import time; time.sleep(60)")

    class Broken(Exception):
        pass

    def breaks(seconds=None):
        if seconds:
            raise Broken
        return ended()

    ended = processes[1].wait
    processes[1].wait = breaks
    with pytest.raises(Broken):
        list(take_turns(processes, 0.1))
    assert all(process.returncode for process in processes)


def test_each_is_told_when_it_ends_and_what_runs_on_is_killed_where_nobody_asks_further():
    long, short = started("a", "import time; time.sleep(60)")[0], started("b", "pass")[0]
    turns = take_turns([long, short], 0.1)
    assert next(turns) == 1
    assert short.returncode == 0
    assert long.poll() is None
    turns.close()
    assert long.returncode
