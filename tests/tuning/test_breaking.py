"""What breaks a run: one sentence with what helps, and the best weights so far are kept."""

from __future__ import annotations

import errno

import pytest
import torch
from safetensors.torch import load_file

from irtuning.errors import StudioError
from irtuning.tuning import models, training
from irtuning.tuning.breaking import explanation
from irtuning.tuning.card import read_origin
from irtuning.tuning.training import train
from tests.tuning.test_training import settings


@pytest.mark.parametrize("where", ["from_pretrained", "test"])
def test_memory_that_runs_out_anywhere_is_said_with_what_helps(tmp_path, model_dirs, corpus_dir, monkeypatch, where):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    if where == "test":
        monkeypatch.setattr(training, "_test", full)
    else:
        monkeypatch.setattr(models.AutoModelForSequenceClassification, "from_pretrained", full)
    with pytest.raises(StudioError, match="The memory ran out") as caught:
        train(settings(model_dirs, corpus_dir, max_steps=1), output_dir=tmp_path / "adapter")
    assert "smaller model" in caught.value.advice


@pytest.mark.parametrize(("breaks", "says"), [
    ("loss", "The loss has not been a finite number since step 9"), ("memory", "The memory ran out"), ("disk", "The disk is full"),
    ("weights", "The model's output has not been a finite number since step 12"), ("shapes", "Training broke with Runtime"),
])
def test_what_breaks_the_training_leaves_the_best_weights_so_far(tmp_path, model_dirs, corpus_dir, monkeypatch, breaks, says):
    held, events, prepare = [], [], training.prepare
    monkeypatch.setattr(training, "prepare", lambda *asked: held.append(prepare(*asked)) or held[0])
    errors = {
        "memory": RuntimeError("CUDA out of memory"), "shapes": RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        "disk": OSError(errno.ENOSPC, "No space left on device"),
    }  # fmt: skip

    def fails(*args):
        raise errors[breaks]

    def take(event):
        events.append(event)
        if event.kind == "step" and event.step == (12 if breaks == "weights" else 8):
            if breaks in ("loss", "weights"):
                head = next(p for name, p in held[0].model.named_parameters() if "modules_to_save" in name)
                head.data.fill_(float("nan"))
            else:
                held[0].model.register_forward_pre_hook(fails)

    with pytest.raises(StudioError, match=says):
        train(settings(model_dirs, corpus_dir, max_steps=12), take, output_dir=tmp_path / "a")
    (scored,) = [event.step for event in events if event.kind == "evaluated"]
    assert scored < 8
    assert read_origin(tmp_path / "a").step == scored
    weights = load_file(tmp_path / "a" / "adapter_model.safetensors")
    assert all(value.isfinite().all() for value in weights.values())


def test_a_disk_that_is_full_is_known_by_what_torchs_own_writer_says_of_it():
    with pytest.raises(RuntimeError) as caught:
        torch.save(torch.zeros(10**6), "/dev/full")
    assert "The disk is full" in explanation(caught.value).what


@pytest.mark.parametrize("broken", [False, True])
def test_an_adapter_that_cannot_be_saved_leaves_the_earlier_one_and_no_litter(tmp_path, model_dirs, corpus_dir, monkeypatch, broken):
    out = tmp_path / "adapter"
    train(settings(model_dirs, corpus_dir, max_steps=2), output_dir=out)
    earlier = read_origin(out)
    weights = load_file(out / "adapter_model.safetensors")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    def breaks(event):
        if broken and event.kind == "step" and event.step == 3:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(training.adapters, "save_adapter", full)
    # What broke first is what is told.
    with pytest.raises(StudioError, match="Training broke with Runtime" if broken else "The disk is full") as caught:
        train(settings(model_dirs, corpus_dir, max_steps=4, seed=9), breaks, output_dir=out)
    assert isinstance(caught.value.__cause__, RuntimeError if broken else OSError)
    assert read_origin(out) == earlier
    again = load_file(out / "adapter_model.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())
    assert list(tmp_path.iterdir()) == [out]


def test_a_stop_while_the_test_part_is_scored_keeps_the_adapter(tmp_path, model_dirs, corpus_dir):
    events = []
    result = train(
        settings(model_dirs, corpus_dir, max_steps=2), events.append, output_dir=tmp_path / "adapter",
        should_stop=lambda: any(event.kind == "phase" and event.name == "evaluating" for event in events),
    )  # fmt: skip
    assert (result.stopped, result.test) == (True, {})
    assert not any(event.kind == "evaluated" and event.subset == "test" for event in events)
    assert read_origin(tmp_path / "adapter").metrics is None
    assert "scores are not recorded" in (tmp_path / "adapter" / "README.md").read_text()
