"""Runs every comparison: one process a run, each finished run appended to a results file, resumed where it stopped.

`python -m tests.benchmarks.driver STUDY CORPUS [--model NAME] [--seeds 1,2,3] [--results FILE]` runs what is missing and
prints the table, then one JSON line with the same figures and ratios and all runs; `--show` only prints. Drivers with other seeds may
share the file. With `--turns` the methods of a seed run at the same time, one core each in turns, and their seconds are those they
computed: where a machine's speed drifts, only so can they be compared. Studies are plain data in `studies.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.benchmarks.studies import STUDIES, Job
from tests.benchmarks.tables import figures, table
from tests.benchmarks.turns import take_turns

ROOT = Path(__file__).resolve().parents[2]


class Broken(SystemExit):
    """A run ended badly; says which, and with what words."""


def key_of(job: Job) -> str:
    """What tells a job from others: everything it was asked, but neither where its corpus lay nor whether it took turns."""
    asked = {k: v for k, v in job.items() if k != "in_turns"}
    asked["config"] = {k: v for k, v in job["config"].items() if k != "dataset_name"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Results by key; a torn last line, of a driver that was killed, is left out."""
    found: dict[str, dict[str, Any]] = {}
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for line in text.splitlines():
        try:
            row = json.loads(line)
            found[row["key"]] = row
        except (ValueError, KeyError):
            continue
    return found


def run_missing(jobs: list[Job], path: Path, start: Any = None) -> dict[str, dict[str, Any]]:
    """Runs the jobs that the results file does not hold yet, one after the other; all results of these jobs by key.

    Args:
        start: runs one job and gives what it printed; a fresh process by default.
    """
    start = start or _in_own_process
    known = read(path)
    for place, job in enumerate(jobs, 1):
        key = key_of(job)
        if key in known:
            continue
        print(f"[{place}/{len(jobs)}] {job['name']} seed {job['config'].get('seed')}", file=sys.stderr, flush=True)
        known[key] = _append(path, job, start(job))
    return {key_of(job): known[key_of(job)] for job in jobs}


def run_in_turns(jobs: list[Job], path: Path, seconds: float) -> dict[str, dict[str, Any]]:
    """As `run_missing`, the missing jobs of each seed side by side, one at a time for so many seconds; each is noted when it ends."""
    for seed in dict.fromkeys(job["config"].get("seed") for job in jobs):
        known = read(path)
        missing = [job for job in jobs if job["config"].get("seed") == seed and key_of(job) not in known]
        print(f"seed {seed}: {', '.join(job['name'] for job in missing) or 'nothing is missing'}", file=sys.stderr, flush=True)
        broken: list[str] = []
        with tempfile.TemporaryDirectory() as folder:
            files = [(Path(folder, f"{i}.out"), Path(folder, f"{i}.err")) for i in range(len(missing))]
            processes = []
            for job, (out, err) in zip(missing, files, strict=True):
                with out.open("w") as told, err.open("w") as said:
                    processes.append(subprocess.Popen(_command(job), cwd=ROOT, env=_environment(), stdout=told, stderr=said))
            for ended in take_turns(processes, seconds):
                job, (out, err) = missing[ended], files[ended]
                try:
                    _append(path, job, _given(job, processes[ended].returncode, out.read_text(), err.read_text()))
                except Broken as error:
                    broken.append(str(error))
        if broken:
            raise Broken("\n".join(broken))
    return run_missing(jobs, path)


def _append(path: Path, job: Job, result: dict[str, Any]) -> dict[str, Any]:
    """Notes a finished run; its row."""
    row = {"key": key_of(job), "job": _without_paths(job), "result": result}
    with path.open("a", encoding="utf-8") as stream:
        # A line of its own, even behind one that a killed driver left torn.
        stream.write(("\n" if stream.tell() else "") + json.dumps(row))
    return row


def as_asked(jobs: list[Job], threads: int = 0, turns: float = 0.0, values: Mapping[str, Any] = MappingProxyType({})) -> list[Job]:
    """A study's jobs on so many threads, or in turns, with RunConfig fields that are wanted of every run; those of None are left."""
    values = {name: value for name, value in values.items() if value is not None}
    own = {**({"threads": threads} if threads else {}), **({"threads": 1, "in_turns": True} if turns else {})}
    return _each_once([{**job, **own, "config": {**job["config"], **values}} for job in jobs])


def _each_once(jobs: list[Job]) -> list[Job]:
    """Of jobs that are alike but for their names the last, as where two differ in the numbers alone and all take the same."""
    return list({key_of({**job, "name": ""}): job for job in jobs}.values())


def _without_paths(job: Job) -> Job:
    name = job["config"].get("dataset_name")
    return {**job, "config": {**job["config"], "dataset_name": Path(name).name if name else None}}


def _in_own_process(job: Job) -> dict[str, Any]:
    done = subprocess.run(_command(job), cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
    return _given(job, done.returncode, done.stdout, done.stderr)


def _command(job: Job) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.arms", json.dumps(job)]


def _environment() -> dict[str, str]:
    return {**os.environ, "TOKENIZERS_PARALLELISM": "false"}


def _given(job: Job, status: int, out: str, err: str) -> dict[str, Any]:
    if status:
        raise Broken(f"{job['name']} broke:\n{err[-2000:]}")
    return json.loads(out.splitlines()[-1])


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("corpus")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dtype", help="numbers of every run, where the machine's own choice is not wanted")
    parser.add_argument("--epochs", type=float, help="passes over the corpus of every run, where the study's own are not wanted")
    parser.add_argument("--results", type=Path, default=ROOT / "tests" / "benchmarks" / "results.jsonl")
    parser.add_argument("--turns", type=float, default=0.0, metavar="SECONDS", help="length of a turn, one core each")
    parser.add_argument("--show", action="store_true")
    chosen = parser.parse_args()
    jobs = STUDIES[chosen.study](chosen.model, chosen.corpus, [int(s) for s in chosen.seeds.split(",")])
    jobs = as_asked(jobs, chosen.threads, chosen.turns, {"dtype": chosen.dtype, "num_train_epochs": chosen.epochs})
    if chosen.show:
        known = read(chosen.results)
        found = {key: known[key] for key in map(key_of, jobs) if key in known}
    else:
        found = run_in_turns(jobs, chosen.results, chosen.turns) if chosen.turns else run_missing(jobs, chosen.results)
    rows = list(found.values())
    methods = figures(rows)
    print(table(methods))
    print(json.dumps({"methods": methods, "runs": rows}))


if __name__ == "__main__":
    main()
