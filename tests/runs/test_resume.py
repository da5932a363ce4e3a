"""A run that is killed and taken up again ends as one that nobody disturbed; real processes, real kills."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from irtuning.config import RunConfig
from irtuning.errors import CorpusError, RunError
from irtuning.events import CheckpointSaved, Phase, Resumed, Step
from irtuning.insight.history import RunHistory
from irtuning.revisions.corpora import load_corpus
from irtuning.runs.conduct import conduct
from irtuning.runs.log import EventLog, all_events, last_kept
from irtuning.runs.norms import NormsFile
from irtuning.runs.stopping import ended_early
from irtuning.runs.store import RunStore
from irtuning.tuning.checkpoints import latest, latest_step
from irtuning.tuning.training import train
from tests.conftest import make_rows, write_jsonl
from tests.loaded import Loaded

STEPS = 48


def flags(model: Path, corpus: Path, output: Path, *more) -> list[str]:
    return [
        *("--model-name", model, "--dataset-name", corpus, "--output-dir", output, "--max-steps", STEPS),
        *("--batch-size", 8, "--max-length", 64, "--warmup-steps", 4, "--save-steps", 5, "--learning-rate", 0.005),
        *more,
    ]


def the_run(output: Path) -> Path:
    return next(path for path in output.iterdir() if not path.name.startswith("."))


def outcome(run: Path) -> dict:
    """What must not depend on what happened to the process."""
    history = RunHistory()
    history.feed(all_events(run / "events.jsonl"))
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("seconds", "peak_memory_mib"):
        del metrics[name]
    return {
        "steps": history.steps.tolist(),
        "selected": history.selected.tolist(),
        # As text, in which what was not measured equals itself.
        "scores": str(history.scores.tolist()),
        "losses": history.losses.tolist(),
        "evaluations": [(e["step"], e["subset"], e["of"], e["metrics"]) for e in history.evaluations],
        "norms": (run / "module_norms.jsonl").read_text(),
        "metrics": metrics,
        "adapter": (run / "adapter" / "adapter_model.safetensors").read_bytes(),
    }


def step(number: int) -> Step:
    return Step(
        step=number, epoch=0.1, loss=1.0, learning_rate=1e-3, scores=[1.0], selected=[0], moved=[0], seconds=0.1, tokens=9,
        memory_mib=1.0,
    )  # fmt: skip


SETTINGS = {
    "the paper's rule": ("llama",),
    "drawn sets": ("bert", "--tuning-method", "ist", "--adapter-name", "bottleneck"),
    "kept states": ("bert", "--budget", 0.6, "--settle-after", 0.2, "--cache-prefix", "--lora-dropout", 0.1),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("setting", "kills"), [("the paper's rule", 10), ("drawn sets", 2), ("kept states", 3)])
def test_killed_at_random_moments_it_ends_as_if_undisturbed(setting, kills, tmp_path, model_dirs, corpus_dir):
    family, *more = SETTINGS[setting]
    asked = lambda name: flags(model_dirs(family), corpus_dir, tmp_path / name, *more)  # noqa: E731
    undisturbed = Loaded("train", *asked("whole"))
    chance = random.Random(setting)
    worker = Loaded("train", *asked("killed"))
    steps_at_kill = []
    for kill in range(kills):
        time.sleep(0.2)
        wanted = chance.randrange(STEPS * kill // kills, STEPS * (kill + 1) // kills)
        deadline = time.time() + 120
        while worker.poll() is None and time.time() < deadline:
            folders = [p for p in (tmp_path / "killed").glob("*") if not p.name.startswith(".")]
            done = [e["step"] for e in all_events(folders[0] / "events.jsonl") if e["kind"] == "step"] if folders else []
            if folders and (done[-1] if done else 0) >= wanted:
                break
            time.sleep(0.002)
        time.sleep(chance.random() * 0.03)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        run = the_run(tmp_path / "killed")
        steps_at_kill.append([e["step"] for e in all_events(run / "events.jsonl") if e["kind"] == "step"][-1:])
        worker = Loaded("train", "--resume", run)
    assert worker.wait(180) == 0, worker.stderr
    assert undisturbed.wait(180) == 0, undisturbed.stderr
    whole, killed = outcome(the_run(tmp_path / "whole")), outcome(the_run(tmp_path / "killed"))
    print(setting, "killed after steps", steps_at_kill)
    resumed = [e["from_step"] for e in all_events(the_run(tmp_path / "killed") / "events.jsonl") if e["kind"] == "resumed"]
    assert len(resumed) == kills
    assert max(resumed) > 0
    assert killed == whole
    assert not (the_run(tmp_path / "killed") / "checkpoints").exists()


def test_time_goes_on_from_the_last_event_that_stays(tmp_path):
    now = [100.0]
    log = EventLog(tmp_path, clock=lambda: now[0])
    log.append(Phase(name="loading"))
    for number in (1, 2, 3):
        now[0] += 10
        log.append(step(number))
    assert last_kept(tmp_path / "events.jsonl", 2) == 20
    assert last_kept(tmp_path / "events.jsonl", 0) == 0
    now[0] = 5000
    later = EventLog(tmp_path, clock=lambda: now[0])
    assert later.append(Resumed(from_step=2)).time == 20
    now[0] += 7
    assert later.append(CheckpointSaved(step=2)).time == 27


def test_a_checkpoint_counts_only_when_it_is_sealed(tmp_path):
    assert latest(tmp_path) is None
    for number, seal in ((10, '{"step": 10, "layers_trained": [1]}'), (20, '{"step": 2'), (30, None)):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        for name in ("trainable.safetensors", "trainer_state.json"):
            (folder / name).touch()
        if seal:
            (folder / "sealed.json").write_text(seal)
    assert latest(tmp_path) == (tmp_path / "checkpoint-10", {"step": 10, "layers_trained": [1]})
    assert latest_step(tmp_path) == 10


def test_norms_beyond_the_checkpoint_are_written_anew(tmp_path):
    path = tmp_path / "module_norms.jsonl"
    names = ["m.lora_A", "m.lora_B"]
    with NormsFile(path) as norms:
        for number in (1, 2, 3):
            norms.take(names, number, [3.0, 4.0])
    with path.open("a") as torn:
        torn.write('{"step": 4, "no')
    with NormsFile(path) as norms:
        norms.take(names, 3, [6.0, 8.0])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"modules": ["m"]}, {"step": 1, "norms": [5.0]}, {"step": 2, "norms": [5.0]}, {"step": 3, "norms": [10.0]},
    ]  # fmt: skip


def test_only_a_run_that_did_not_end_can_go_on(tmp_path):
    from irtuning.events import Failed, Finished

    store = RunStore(tmp_path)
    run = store.create(RunConfig())
    with pytest.raises(RunError, match="is running"):
        store.reopen(run, EventLog(store.path(run)))
    log = EventLog(store.path(run))
    log.append(Failed(what="It broke."))
    (store.path(run) / "stop").write_text("{}")
    assert store.reopen(run, log) == 0
    assert store.state(run) == "running"
    assert not (store.path(run) / "stop").exists()
    log.append(Finished())
    with pytest.raises(RunError, match="finished"):
        store.reopen(run, log)


def in_process(model: Path, corpus: Path, folder: Path, **more):
    """(result, events) of a run of seven steps in this process, whose checkpoints stay."""
    config = RunConfig(
        model_name=str(model), dataset_name=str(corpus), max_steps=7, batch_size=8, max_length=64, warmup_steps=1, save_steps=3,
        learning_rate=0.005, device="cpu",
    )  # fmt: skip
    events = []
    return train(config, events.append, output_dir=folder / "adapter", checkpoints=folder / "checkpoints", **more), events


def test_a_run_that_was_killed_after_its_last_step_makes_no_other_one(tmp_path, model_dirs, corpus_dir):
    whole, _ = in_process(model_dirs("llama"), corpus_dir, tmp_path)
    assert latest_step(tmp_path / "checkpoints") == 7
    again, events = in_process(model_dirs("llama"), corpus_dir, tmp_path, resume=True)
    assert [e for e in events if e.kind == "step"] == []
    assert (again.steps, again.best_step, again.layers_trained) == (7, whole.best_step, whole.layers_trained)
    assert again.test == whole.test
    assert latest_step(tmp_path / "checkpoints") == 7


def test_a_run_does_not_go_on_with_other_texts(tmp_path, model_dirs, corpus_dir):
    corpus = Path(shutil.copytree(corpus_dir, tmp_path / "texts"))
    store = RunStore(tmp_path / "runs")
    run = store.create(
        RunConfig(
            model_name=str(model_dirs("bert")), dataset_name=str(corpus), max_steps=40, batch_size=8, max_length=64, save_steps=2,
            device="cpu",
        )
    )
    folder = store.path(run)

    def trained(resume: bool) -> None:
        stops = lambda: latest_step(folder / "checkpoints") >= 4  # noqa: E731
        conduct(
            folder, store.run_config(run).resolve(), EventLog(folder).append, stops if not resume else lambda: False,
            lambda **values: store.update_config(run, **values), resume=resume,
        )  # fmt: skip

    trained(resume=False)
    rows = make_rows(96, 1)
    write_jsonl(corpus / "train.jsonl", [{**rows[0], "before": "another text"}, *rows[1:]])
    with pytest.raises(CorpusError, match="'texts' has changed since the run was trained on it"):
        trained(resume=True)
    assert store.config(run)["corpus"]["fingerprint"] == load_corpus(str(corpus_dir)).fingerprint


@pytest.mark.parametrize("gone", ["trainable.safetensors", "trainer_state.json"])
def test_a_checkpoint_that_somebody_began_to_remove_is_none(tmp_path, model_dirs, corpus_dir, gone):
    in_process(model_dirs("llama"), corpus_dir, tmp_path)
    (tmp_path / "checkpoints" / "checkpoint-7" / gone).unlink()
    assert latest_step(tmp_path / "checkpoints") == 6


def test_a_run_that_was_stopped_before_it_went_on_tells_of_the_adapter_it_has(tmp_path):
    assert ended_early(tmp_path) == "The run was stopped before its first step; there is no adapter."
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_model.safetensors").touch()
    assert ended_early(tmp_path) == "The run was stopped before it went on. The adapter that it saved last is kept."
