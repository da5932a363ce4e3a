"""The command line as a user meets it: real processes, their output and their exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import make_rows, write_jsonl

ROOT = Path(__file__).parents[1]


def irtuning(*arguments: str, timeout: float = 120, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "irtuning", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def small(model_dirs, corpus_dir):
    """Flags of a run of seconds; other values win."""

    def flags(**changed) -> list[str]:
        values = {
            "model-name": model_dirs("bert"), "dataset-name": corpus_dir, "max-steps": 4, "batch-size": 8,
            "max-length": 64, "warmup-steps": 1, **{name.replace("_", "-"): value for name, value in changed.items()},
        }  # fmt: skip
        return [part for name, value in values.items() for part in (f"--{name}", str(value))]

    return flags


def test_train_evaluate_and_classify_agree(tmp_path, small, corpus_dir):
    done = irtuning("train", *small(max_length=160, output_dir=tmp_path), "--use-instruction", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert set(answer) == {"run", "run_dir", "adapter_dir", "metrics", "floor", "seconds", "peak_memory_mib"}
    assert Path(answer["run_dir"]) == tmp_path / answer["run"]
    assert {"accuracy", "macro_f1", "weighted_f1", "au_prc", "per_class"} <= set(answer["metrics"])
    assert {"accuracy", "macro_f1", "weighted_f1", "au_prc", "per_class"} <= set(answer["floor"])
    assert set(answer["metrics"]["per_class"]) == {"added", "doubled", "removed"}

    for corpus in (corpus_dir, corpus_dir / "test.jsonl"):
        again = irtuning("evaluate", "--adapter", answer["adapter_dir"], "--dataset-name", corpus, "--json")
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["metrics"] == answer["metrics"]
    by_folder = irtuning("evaluate", "--adapter", answer["run_dir"], "--dataset-name", corpus_dir, "--json")
    assert json.loads(by_folder.stdout)["metrics"] == answer["metrics"]

    one = irtuning("classify", "--adapter", answer["adapter_dir"], "--before", "the cat", "--after", "", "--json")
    assert one.returncode == 0, one.stderr
    found = json.loads(one.stdout)
    assert set(found) == {"label", "probabilities", "adapter", "abstained"}
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert found["label"] == max(found["probabilities"], key=found["probabilities"].get)

    out = tmp_path / "out.jsonl"
    many = irtuning("classify", "--adapter", answer["adapter_dir"], "--file", corpus_dir / "test.jsonl", "--output", out)
    assert many.returncode == 0, many.stderr
    assert len(out.read_text().splitlines()) == 24


def test_a_run_tells_its_progress_its_layers_and_its_figures(small):
    done = irtuning("train", *small(logging_steps=2))
    assert done.returncode == 0, done.stderr
    assert "step 2/4" in done.stdout
    assert "step 3/4" not in done.stdout
    assert "macro-F1" in done.stdout
    assert "█" in done.stdout
    assert "bag of edits" in done.stdout
    listed = irtuning("runs", "--json")
    (row,) = [row for row in json.loads(listed.stdout)["runs"] if not row["recorded"]]
    assert (row["state"], row["model"]) == ("finished", "tiny-bert")
    folder = Path(os.environ["IRTUNING_HOME"]) / row["run"]
    for name in ("config.json", "events.jsonl", "metrics.json"):
        assert str(folder.parent.parent) not in (folder / name).read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["train", "--learning-rate", "nan"], 2, "Learning rate"),
        (["train", "--max-steps", "0"], 2, "Max steps"),
        (["train", "--batch-size", "16", "--per-device-train-batch-size", "3"], 2, "no multiple of 3"),
        (["train", "--tuning-method", "magic"], 2, "'ir' or 'full'"),
        (["train", "--wings"], 2, "--wings"),
        (["fly"], 2, "fly"),
        (["classify", "--before", "x"], 2, "--after"),
        (["classify", "--after", "x"], 2, "--before"),
        (["evaluate", "--adapter", "../x", "--dataset-name", "starter"], 1, "no adapter"),
        (["runs", "delete", "../x"], 1, "no run called"),
        (["runs", "stop", "nobody"], 1, "no run called"),
        (["train", "--dataset-name", "nowhere.csv"], 1, "nowhere.csv"),
        (["train", "--model-name", "nobody"], 1, "no base model"),
    ],
)
def test_wrong_arguments_are_answered_in_one_sentence(arguments, status, says):
    done = irtuning(*arguments)
    assert done.returncode == status
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (("", ""), "both texts are empty"),
        (("same", "same "), "the same"),
        (("x" * 20_001, "y"), "20,000"),
    ],
)
def test_a_pair_that_is_none_is_refused(texts, says):
    done = irtuning("classify", "--before", texts[0], "--after", texts[1])
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_corpus_of_one_class_is_refused(tmp_path, small):
    path = write_jsonl(tmp_path / "one.jsonl", [{**row, "label": "same"} for row in make_rows(30)])
    done = irtuning("train", *small(dataset_name=path))
    assert done.returncode == 1
    assert "one label" in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_saves_the_adapter_and_says_130(tmp_path, small, number):
    child = subprocess.Popen(
        [sys.executable, "-m", "irtuning", "train", *small(max_steps=4000, logging_steps=1, output_dir=tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        for line in child.stdout:
            if "step 3/" in line:
                break
        child.send_signal(number)
        asked = time.monotonic()
        rest = child.stdout.read()
        assert child.wait(timeout=20) == 130, rest
        assert time.monotonic() - asked < 10
    finally:
        child.kill()
    (adapter,) = tmp_path.glob("*/adapter/adapter_model.safetensors")
    assert "its adapter is saved" in rest
    done = irtuning("classify", "--adapter", adapter.parent, "--before", "the cat", "--after", "the dog")
    assert done.returncode == 0, done.stderr


def test_a_second_run_on_a_store_waits_and_says_for_which(tmp_path, small):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IRTUNING_HOME": str(tmp_path / "shared")}
    command = [sys.executable, "-m", "irtuning", "train"]
    first = subprocess.Popen(
        [*command, *small(max_steps=4000, logging_steps=1)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    try:
        name = next(line for line in first.stdout if "step 1/" in line).split()[0]
        second = subprocess.Popen([*command, *small()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        try:
            assert name in next(line for line in second.stdout if "waits" in line)
            first.send_signal(signal.SIGINT)
            first.stdout.read()
            rest = second.stdout.read()
            assert second.wait(timeout=60) == 0, rest
        finally:
            second.kill()
    finally:
        first.kill()
