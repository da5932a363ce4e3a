"""Two processes that train one run over gloo, against one process with the same global batch; real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from irtuning.config import RunConfig
from irtuning.runs import together
from irtuning.runs.log import all_events
from irtuning.runs.store import RunStore
from irtuning.tuning.batches import Deal
from tests.conftest import make_rows, write_jsonl
from tests.loaded import Loaded

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def as_launched(count: int, *arguments) -> list[Loaded]:
    """So many processes that are told what torchrun would tell them."""
    return [Loaded("train", *arguments, environment=told) for told in told_to_ranks(count)]


def told_to_ranks(count: int) -> list[dict[str, str]]:
    """What torchrun would put into the environment of so many processes."""
    told = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)} for rank in range(count)]
    return [{**told, **(rank if count > 1 else {})} for rank in ranks]


@pytest.fixture
def corpus(tmp_path):
    """93 rows to train on: an epoch's last batch of eight is one of five, and of four one of a single row."""
    for part, count, seed in (("train", 93, 1), ("validation", 24, 2), ("test", 24, 3)):
        rows = [{**row, "doc_id": f"{part}-{row['doc_id']}"} for row in make_rows(count, seed)]
        (tmp_path / "corpus").mkdir(exist_ok=True)
        write_jsonl(tmp_path / "corpus" / f"{part}.jsonl", rows)
    return tmp_path / "corpus"


def steps_of(output: Path) -> list[dict]:
    run = next(p for p in output.iterdir() if not p.name.startswith("."))
    steps: list[dict] = []
    for event in all_events(run / "events.jsonl"):
        if event["kind"] == "step":
            steps.append(event)
        elif event["kind"] == "resumed":
            steps = [step for step in steps if step["step"] <= event["from_step"]]
    return steps


RULES = {
    "ir": [],
    "ir accumulated": ["--gradient-accumulation-steps", 2, "--per-device-train-batch-size", 2],
    "ir cosine": ["--importance-metric-name", "cosine"],
    "ist": ["--tuning-method", "ist"],
}


@pytest.mark.slow
@pytest.mark.parametrize("rule", list(RULES))
def test_two_processes_train_as_one(rule, tmp_path, model_dirs, corpus):
    flags = [
        *("--model-name", model_dirs("llama"), "--dataset-name", corpus, "--max-steps", 26, "--batch-size", 8),
        *("--max-length", 64, "--warmup-steps", 2, "--dtype", "float32", "--save-steps", 10, "--learning-rate", 0.005),
    ]
    alone = list(RULES[rule])
    if "--per-device-train-batch-size" in alone:
        alone[-1] = 4
    runs = [
        *as_launched(1, *flags, *alone, "--output-dir", tmp_path / "one"),
        *as_launched(2, *flags, *RULES[rule], "--output-dir", tmp_path / "two"),
    ]
    for run in runs:
        assert run.wait(240) == 0, run.stderr
    one, two = steps_of(tmp_path / "one"), steps_of(tmp_path / "two")
    assert len(one) == len(two) == 26
    assert [step["selected"] for step in one] == [step["selected"] for step in two]
    for ours, theirs in zip(two, one, strict=True):
        # Weights drift apart in their last bits, so later scores do, too.
        assert [s or 0.0 for s in ours["scores"]] == pytest.approx([s or 0.0 for s in theirs["scores"]], rel=1e-3, abs=1e-6)
    assert [step["tokens"] for step in one] == [step["tokens"] for step in two]
    assert [step["loss"] for step in one] == pytest.approx([step["loss"] for step in two], abs=1e-5)
    weights = [load_file(next((tmp_path / name).glob("*/adapter/adapter_model.safetensors"))) for name in ("one", "two")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-4, rtol=1e-3)


NOTING = """
import json, sys
from irtuning.tuning.callback import LayerwiseCallback
chosen, plain = [], LayerwiseCallback.on_step_begin
def noting(self, args, *rest, **more):
    plain(self, args, *rest, **more)
    chosen.append([args.process_index, list(self._choice.layers)])
LayerwiseCallback.on_step_begin = noting
from irtuning.__main__ import main
status = main(sys.argv[2:])
open(f"{sys.argv[1]}-{chosen[0][0]}.json", "w").write(json.dumps([layers for _, layers in chosen]))
sys.exit(status)
"""
"""The command line, which notes in each process the layers of each step."""


IN_PYTHON = """
import sys
from irtuning import RunConfig, train
steps = []
train(
    RunConfig(model_name=sys.argv[1], dataset_name=sys.argv[2], num_train_epochs=1.0, batch_size=8, max_length=64, device="cpu"),
    lambda event: steps.append(event) if event.kind == "step" else None, output_dir=sys.argv[3],
)
print(steps[-1].step, steps[-1].epoch)
"""


@pytest.mark.slow
def test_processes_that_train_in_python_share_the_batch(tmp_path, model_dirs, corpus):
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", IN_PYTHON, str(model_dirs("llama")), str(corpus), str(tmp_path / "adapter")],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT), **told},
        )
        for told in told_to_ranks(2)
    ]  # fmt: skip
    assert [rank.communicate(timeout=240)[0].split() for rank in ranks] == [["12", "1.0"]] * 2


@pytest.mark.slow
def test_accelerate_launches_processes_that_each_train_the_same_layers(tmp_path, model_dirs, corpus):
    (tmp_path / "noting.py").write_text(NOTING)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
            *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(free_port())),
            *map(str, ("-m", "noting", tmp_path / "chosen", "train", "--model-name", model_dirs("llama"))),
            *map(str, ("--dataset-name", corpus, "--max-steps", 8, "--batch-size", 8, "--max-length", 64)),
            *map(str, ("--tuning-method", "rst", "--warmup-steps", 1, "--output-dir", tmp_path / "runs")),
        ],
        capture_output=True, text=True, timeout=240, check=False,
        # Its --cpu starts a single process on one machine; this is how it starts one a GPU, here without them.
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"chosen-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second == [step["selected"] for step in steps_of(tmp_path / "runs")]
    assert len(set(map(tuple, first))) > 1


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["ir", "ist"])
def test_two_processes_that_were_killed_go_on_as_if_undisturbed(rule, tmp_path, model_dirs, corpus, until):
    flags = [
        *("--model-name", model_dirs("llama"), "--dataset-name", corpus, "--max-steps", 40, "--batch-size", 8),
        *("--max-length", 64, "--warmup-steps", 2, "--save-steps", 4, "--learning-rate", 0.005, *RULES[rule]),
    ]
    whole = as_launched(2, *flags, "--output-dir", tmp_path / "whole")
    assert [process.wait(240) for process in whole] == [0, 0], whole[0].stderr
    killed = as_launched(2, *flags, "--output-dir", tmp_path / "killed")
    store = RunStore(tmp_path / "killed")
    until(lambda: any(row["step"] >= 13 for row in store.list()), 120)
    (name,) = [row["run"] for row in store.list() if row["step"] >= 13]
    for process in killed:
        process.send_signal(signal.SIGKILL)
    assert killed[0].wait(20) == -signal.SIGKILL
    killed[1].wait(20)
    again = as_launched(2, "--resume", store.path(name))
    assert [process.wait(240) for process in again] == [0, 0], again[0].stderr
    assert [e["kind"] for e in store.all_events(name)].count("resumed") == 1
    expected, steps = steps_of(tmp_path / "whole"), steps_of(tmp_path / "killed")
    assert [(s["step"], s["selected"], s["scores"], s["loss"]) for s in steps] == [
        (s["step"], s["selected"], s["scores"], s["loss"]) for s in expected
    ]


@pytest.mark.slow
def test_a_stop_ends_all_processes_with_the_adapter_kept(tmp_path, model_dirs, corpus, until):
    both = as_launched(
        2, "--model-name", model_dirs("llama"), "--dataset-name", corpus, "--max-steps", 50_000,
        "--batch-size", 8, "--max-length", 64, "--output-dir", tmp_path / "runs",
    )  # fmt: skip
    store = RunStore(tmp_path / "runs")
    until(lambda: any(row["step"] for row in store.list()), 120)
    name = store.list()[0]["run"]
    store.request_stop(name)
    assert [process.wait(120) for process in both] == [130, 130]
    assert store.state(name) == "stopped"
    assert (store.path(name) / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_what_cannot_be_shared_out_ends_all_processes_in_one_sentence(tmp_path, model_dirs, corpus):
    first, second = as_launched(
        2, "--model-name", model_dirs("llama"), "--dataset-name", corpus, "--batch-size", 7, "--output-dir", tmp_path / "r",
    )  # fmt: skip
    assert first.wait(120) == second.wait(120) == 1
    assert "A batch of 7 cannot be shared out to 2 processes." in first.stderr


def test_a_devices_batch_counts_once_a_process(monkeypatch):
    asked = RunConfig(per_device_train_batch_size=4, gradient_accumulation_steps=2)
    assert together.for_all(asked) == asked
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert together.for_all(asked).resolve().batch_size == 24
    assert together.for_all(RunConfig()) == RunConfig()


def test_each_row_is_dealt_once_and_shares_weigh_what_they_hold():
    lengths = [1 + i % 7 for i in range(21)]
    shares = [list(Deal(lengths, 4, 1, ranks=2, rank=rank)) for rank in (0, 1)]
    alone = list(Deal(lengths, 8, 1))
    assert [len(s) for s in alone] == [8, 8, 5]
    for whole, first, second in zip(alone, *shares, strict=True):
        assert sorted([*first, *second]) == sorted(whole)
        assert first.weight * len(second) == pytest.approx(second.weight * len(first))
        assert (first.weight + second.weight) / 2 == pytest.approx(1)


def test_a_process_without_a_row_takes_part_with_weight_nothing():
    shares = [list(Deal([3, 3, 3], 1, 1, ranks=2, rank=rank))[-1] for rank in (0, 1)]
    assert (shares[0].weight, shares[1].weight) == (2.0, 0.0)
    assert len(shares[1]) == 1
