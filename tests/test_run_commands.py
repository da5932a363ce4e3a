"""The commands below `runs` as a user meets them: ablate, compare, steps."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from irtuning.config import RunConfig
from irtuning.events import Finished
from irtuning.runs.store import EventLog, RunStore
from irtuning.tuning.selection import select_layers
from tests.loaded import loaded


def runs_of(home: Path, small, *settings: dict) -> list[str]:
    """Ids of runs trained one after the other in a folder."""
    found = []
    for values in settings:
        done = loaded("train", *small(output_dir=home, **values), "--json")
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1])["run"])
    return found


def test_a_run_is_ablated_and_its_figures_are_kept(small, tmp_path, corpus_dir, call):
    home = Path(os.environ["IRTUNING_HOME"])
    corpus = Path(shutil.copytree(corpus_dir, tmp_path / "texts"))
    (run,) = runs_of(home, small, {"dataset-name": corpus, "learning-rate": 0.02, "warmup-steps": 0})
    done = call("runs", "ablate", run, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    kept = home / run / "ablation.json"
    assert json.loads(kept.read_text()) == answer
    assert str(tmp_path) not in kept.read_text()
    assert not list((home / run).glob(".*.tmp"))
    assert {k: answer[k] for k in ("run", "corpus", "subset", "rows")} == {
        "run": run, "corpus": "texts", "subset": "validation", "rows": 24,
    }  # fmt: skip
    closing = json.loads((home / run / "metrics.json").read_text())
    assert answer["macro_f1"] == pytest.approx(closing["validation"]["macro_f1"])
    assert [row["layer"] for row in answer["layers"]] == [0, 1, 2, 3]
    assert [row["trained_share"] for row in answer["layers"]] == [n / 4 for n in closing["layers_trained"]]
    assert any(row["loss_change"] for row in answer["layers"])

    table = call("runs", "ablate", home / run)
    assert table.returncode == 0, table.stderr
    lines = [line.split() for line in table.stdout.splitlines()]
    assert lines[-5] == ["layer", "loss", "macro-F1", "trained"]
    assert lines[-1][:2] == ["0", f"{answer['layers'][0]['loss_change']:+.4f}"]
    again = json.loads(kept.read_text())
    assert {**again, "seconds": 0} == {**answer, "seconds": 0}

    shutil.rmtree(corpus)
    gone = call("runs", "ablate", run)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr == (
        "The corpus 'texts' that the run was trained on is not there any more. Put it back where it was.\n"
    )
    shutil.rmtree(home / run / "adapter")
    bare = call("runs", "ablate", run)
    assert bare.returncode == 1
    assert f"The run '{run}' has no adapter." in bare.stderr
    assert json.loads(kept.read_text()) == again


def test_a_recorded_run_is_ablated_and_not_written_to(small, tmp_path, monkeypatch, call):
    from irtuning.runs import store

    (run,) = runs_of(tmp_path / "recorded", small, {})
    monkeypatch.setattr(store, "RECORDED", tmp_path / "recorded")
    before = sorted(p.name for p in (tmp_path / "recorded" / run).iterdir())
    for name in (run, str(tmp_path / "recorded" / run)):
        answer = call("runs", "ablate", name, "--json")
        assert answer.returncode == 0
        assert json.loads(answer.stdout.splitlines()[-1])["run"] == run
    assert sorted(p.name for p in (tmp_path / "recorded" / run).iterdir()) == before


def test_runs_are_compared_as_a_table_and_as_json(small, tmp_path, call):
    home = Path(os.environ["IRTUNING_HOME"])
    one, two, full = runs_of(home, small, {"seed": 1}, {"seed": 2, "logging-steps": 3}, {"seed": 1, "tuning-method": "full"})
    (other,) = runs_of(tmp_path / "elsewhere", small, {"seed": 1, "selection-unit": "block", "max-steps": 3})
    done = call("runs", "compare", one, two, full, tmp_path / "elsewhere" / other, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [row["run"] for row in answer["runs"]] == [one, two, full, other]
    assert {row["reference"] for row in answer["runs"]} == {full}
    for row in answer["runs"]:
        closing = json.loads(next(tmp_path.glob(f"*/{row['run']}/metrics.json")).read_text())
        assert row["metrics"]["macro_f1"] == closing["network"]["macro_f1"]
        assert row["price"]["trained_share"] == pytest.approx(closing["selected_fraction"])
        assert row["price"]["steps"] == closing["steps"]
        assert 0 < row["price"]["seconds"] < closing["seconds"]
        assert row["layers"] == 4
    assert answer["runs"][2]["ratios"]["seconds"] == answer["runs"][2]["successive"] == 1
    assert answer["runs"][0]["ratios"]["trained_share"] < 1
    assert len(answer["overlap"]) == 6
    assert all(0 <= pair[key] <= 1 for pair in answer["overlap"] for key in ("stepwise", "frequency"))
    (group,) = answer["stability"]
    assert group["runs"] == [one, two]
    assert len(group["share_mean"]) == 4
    scores = [row["metrics"]["macro_f1"] for row in answer["runs"][:2]]
    assert group["metrics"]["macro_f1"]["mean"] == pytest.approx(sum(scores) / 2)

    table = call("runs", "compare", one, two, full)
    assert table.returncode == 0, table.stderr
    assert table.stdout.splitlines()[1].startswith(one)
    assert "1.00 x" in table.stdout.splitlines()[3]
    assert f"one setting, 2 seeds: {one}, {two}" in table.stdout
    twice = call("runs", "compare", one, one)
    assert (twice.returncode, twice.stderr) == (2, f"The run '{one}' is named twice. Name each run once.\n")


def test_ten_steps_are_told_one_by_one(tmp_path, small, call):
    done = loaded("train", *small(max_steps=10, output_dir=tmp_path))
    assert done.returncode == 0, done.stderr
    told = call("runs", "steps", next(p for p in tmp_path.iterdir() if not p.name.startswith(".")), "--json")
    steps = json.loads(told.stdout)["steps"]
    assert [step["step"] for step in steps] == list(range(1, 11))
    scores = [1000.0] * 4
    for step in steps:
        assert step["before"] == scores
        if step["ranks"]:
            assert step["selected"] == list(select_layers(scores).layers)
        assert [i for i, value in enumerate(step["measured"]) if value is not None] == step["selected"]
        scores = [old if new is None else new for old, new in zip(scores, step["measured"], strict=True)]
    missing = call("runs", "steps", next(p for p in tmp_path.iterdir() if not p.name.startswith(".")), "--first", 99)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "has no step 99" in missing.stderr


def test_a_run_in_a_folder_of_ones_own_is_stopped_and_deleted_by_it(tmp_path, call):
    store = RunStore(tmp_path / "mine")
    waits, ended = store.create(RunConfig(), queued=True), store.create(RunConfig(), queued=True)
    EventLog(store.path(ended)).append(Finished())
    assert call("runs", "stop", store.path(waits)).stdout == f"{waits} is stopped.\n"
    assert call("runs", "stop", store.path(ended)).stdout == f"{ended} is finished.\n"
    for run in (waits, ended):
        assert call("runs", "delete", store.path(run)).stdout == f"{run} is deleted.\n"
    assert store.list() == []
