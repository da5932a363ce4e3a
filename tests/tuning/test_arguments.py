"""What a config means to the Trainer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import TrainingArguments

from irtuning.config import RunConfig
from irtuning.tuning.arguments import arguments, warmup
from irtuning.tuning.device import choose_device


@pytest.mark.parametrize(
    ("asked", "steps", "rises"), [(None, 168, 21), (None, 846, 100), (None, 7, 0), (0, 500, 0), (300, 500, 300), (300, 60, 60)]
)
def test_the_rate_rises_as_asked_else_in_an_eighth_of_the_run(asked, steps, rises):
    assert warmup(asked, steps) == rises
    config = RunConfig(model_name="minilm", warmup_steps=asked).resolve()
    assert arguments(config, choose_device("cpu", "float32"), steps).warmup_steps == rises


def test_what_a_config_asks_of_the_optimizer_reaches_it():
    asked = RunConfig(model_name="minilm", weight_decay=0.03, learning_rate=7e-4, seed=12).resolve()
    made = arguments(asked, choose_device("cpu", "float32"), 10)
    assert (made.weight_decay, made.learning_rate, made.seed) == (0.03, 7e-4, 12)


def test_one_process_trains_on_one_gpu_however_many_it_sees(monkeypatch):
    """transformers would wrap the model in DataParallel."""
    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(lambda self: setattr(self, "_n_gpu", 4)))
    made = arguments(RunConfig(model_name="minilm").resolve(), choose_device("cpu", "float32"), 10)
    assert made.n_gpu == 1


def test_the_papers_models_keep_the_papers_hundred():
    config = RunConfig(model_name="llama3.1-8b", use_instruction=True).resolve()
    assert arguments(config, choose_device("cpu", "float32"), 200).warmup_steps == 100


@pytest.mark.parametrize("asked", ["fp16", "bf16", "no"])
def test_a_run_computes_in_the_numbers_it_tells_of_whatever_accelerate_was_set_to(monkeypatch, asked):
    """Under fp16 gradients are scaled: measured and clipped as they are, nearly nothing would be left of a step."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", asked)
    config = RunConfig(model_name="minilm").resolve()
    assert arguments(config, choose_device("cpu", "float32"), 10).mixed_precision == "no"
    assert arguments(config, replace(choose_device("cpu"), dtype="bfloat16"), 10).mixed_precision == "bf16"


def test_without_checkpoints_no_folder_is_made(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    made = arguments(RunConfig(model_name="minilm").resolve(), choose_device("cpu", "float32"), 10)
    assert (made.save_strategy, list(tmp_path.iterdir())) == ("no", [])
    assert Path(made.output_dir).is_dir()
