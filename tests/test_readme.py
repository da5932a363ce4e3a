"""The README's Python as it stands there: the script for somebody else's Trainer, and our own; on tiny random models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback, trainer

from irtuning.events import Step
from irtuning.tuning.layers import find_layers
from tests.conftest import tiny_model, tiny_tokenizer

README = Path(__file__).parents[1] / "README.md"


def script(heading: str) -> str:
    """The only Python block of a section."""
    section = re.split(r"^## ", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(heading + "\n"))
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return code


def moved_layers(layers, before) -> list[int]:
    return [
        layer.index
        for layer, then in zip(layers, before, strict=True)
        if any(not torch.equal(p.detach(), q) for (_, p), q in zip(layer.parameters, then, strict=True))
    ]


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_the_script_runs_and_what_was_not_chosen_did_not_move(family, tmp_path, monkeypatch):
    folder = tmp_path / "tiny"
    tiny_model(family, labels=2).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    code, found = re.subn(r'^MODEL = "[^"]+"', f"MODEL = {str(folder)!r}", script("In your own script"), flags=re.M)
    assert found == 1
    steps: list[Step] = []
    changed: list[list[int]] = []

    class Watch(TrainerCallback):
        """Looks at the weights by itself, around every step."""

        def on_train_begin(self, args, state, control, model, **kwargs):
            self.layers = find_layers(model)

        def on_step_begin(self, args, state, control, **kwargs):
            self.before = [[p.detach().clone() for _, p in layer.parameters] for layer in self.layers]

        def on_step_end(self, args, state, control, **kwargs):
            changed.append(moved_layers(self.layers, self.before))

    monkeypatch.setattr(trainer, "DEFAULT_CALLBACKS", [*trainer.DEFAULT_CALLBACKS, Watch])
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"print": steps.append})
    assert [step.step for step in steps] == list(range(1, 21))
    assert all(0 < len(step.selected) < 4 for step in steps)
    assert [step.selected for step in steps] == [step.moved for step in steps] == changed


def test_the_lines_for_python_train_and_classify(tmp_path, monkeypatch, model_dirs, corpus_dir):
    code = script("In Python")
    local = {
        '"minilm"': repr(str(model_dirs("bert"))),
        '"starter"': f"{str(corpus_dir)!r}, max_steps=2, max_length=64",
        'Classifier("adapter")': f'Classifier("adapter", base={str(model_dirs("bert"))!r})',
    }
    for name, here in local.items():
        assert code.count(name) == 1
        code = code.replace(name, here)
    said = []
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"print": lambda *values: said.append(values)})
    ((score, answer),) = said
    assert 0 <= score <= 1
    assert answer["label"] in ("added", "doubled", "removed")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


def test_the_script_is_short_and_plain():
    lines = [line for line in script("In your own script").splitlines() if line.strip()]
    assert len(lines) <= 22
    imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert imported == {"peft", "transformers", "irtuning"}
