"""What lies beside an adapter's weights: `irtuning.json` (plain data our classifier needs) and the model card for people.

Knows no model; writes values it is given.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from irtuning.errors import AdapterError

FILE = "irtuning.json"
KINDS = {"lora": "A LoRA adapter", "dora": "A DoRA adapter", "bottleneck": "A parallel bottleneck adapter"}


class Origin(BaseModel):
    """Where an adapter came from and how to feed it; everything in it may be shared."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    labels: list[str]
    encoding: dict[str, Any]
    model_name: str
    base_id: str
    weights: str
    dtype: str
    bits: Literal["", "8bit", "4bit"] = ""
    """How the frozen model was held in training; empty: in `dtype`."""
    corpus: str
    corpus_fingerprint: str
    columns: dict[str, str] = {}
    """Columns of the corpus that were named in training: `before`, `after`, `label`, `doc` (empty: none)."""
    adapter: Literal["lora", "dora", "bottleneck"] = "lora"
    method: str
    step: int
    stopped: bool = False
    run: str = ""
    metrics: dict[str, Any] | None = None
    """Of the network on the test part; None where the run was stopped before."""
    floor: dict[str, Any] | None = None


def read_origin(folder: Path) -> Origin:
    """The origin of the adapter in a folder.

    Raises:
        AdapterError: there is none, or it cannot be read.
    """
    try:
        return Origin.model_validate_json((folder / FILE).read_bytes())
    except OSError:
        raise AdapterError(
            f"There is no adapter of this studio in {folder.name!r}.", "Choose one that a run has saved."
        ) from None
    except ValidationError:
        raise AdapterError(f"The file {FILE} of {folder.name!r} is damaged.", "Choose another adapter.") from None


def write_card(folder: Path, origin: Origin) -> None:
    """Writes `irtuning.json` and `README.md` of an adapter, each whole or not at all."""
    written = {FILE: json.dumps(origin.model_dump(), indent=1, ensure_ascii=False) + "\n", "README.md": card(origin)}
    for name, words in written.items():
        scratch = folder / f"{name}.tmp"
        scratch.write_text(words, encoding="utf-8")
        scratch.replace(folder / name)


def card(origin: Origin) -> str:
    """The model card: what it is, how it scores, how to load it with plain peft."""
    name = f"{origin.model_name} on {origin.corpus}"
    scores = "It was stopped before it was evaluated." if origin.stopped else "Its scores are not recorded here."
    if origin.metrics:
        rows = [
            ("accuracy", "accuracy"),
            ("macro-F1", "macro_f1"),
            ("weighted F1", "weighted_f1"),
            ("AU-PRC", "au_prc"),
        ]
        head = "| on the held-out test part | network | bag of edits |\n|---|---|---|\n"
        floor = origin.floor or {}
        scores = head + "\n".join(
            f"| {title} | {origin.metrics[key]:.3f} | {f'{floor[key]:.3f}' if key in floor else 'not measured'} |"
            for title, key in rows
        )
        scores += (
            "\n\nThe bag of edits is a plain rival: logistic regression on the words that went and came and a few numbers of the\n"
            "edit, trained on the same rows."
        )
    hub_note = (
        "\nThese weights were dequantised from a 4-bit file. That the adapter fits the hub's own weights is tested by names and "
        "shapes alone, not by scores.\n"
        if "dequantised" in origin.weights
        else ""
    )
    bits_note = (
        f"\nIt was trained beside base weights in {origin.bits.replace('bit', ' bit')} (bitsandbytes); its scores are those beside them.\n"
        "`irtuning.Classifier` loads the base so where bitsandbytes is installed; elsewhere, and with the lines below, it runs in\n"
        "full, and probabilities differ a little.\n"
        if origin.bits
        else ""
    )
    base, count = origin.base_id, len(origin.labels)
    where = '"."' if "/" in base else f'".", base="{base}"'
    modules = "peft, transformers"
    kind_note = ""
    if origin.adapter == "bottleneck":
        modules += ", irtuning.tuning.bottleneck"
        kind_note = "The third module that is imported tells peft of this kind of adapter, which it does not know by itself.\n"
    return f"""---
base_model: {origin.base_id}
library_name: peft
pipeline_tag: text-classification
tags: [revision-intention, ir-tuning]
---

# {name}

{KINDS[origin.adapter]} with its classification head, trained with IR-Tuning Studio (layers chosen by `{origin.method}`, weights of
step {origin.step}). It tells why a text was revised: {", ".join(origin.labels)}.

Base model: `{origin.base_id}`, loaded from: {origin.weights}. Corpus: {origin.corpus} (fingerprint `{origin.corpus_fingerprint}`).
{hub_note}{bits_note}
{scores}

## Load it

```python
import {modules}
base = transformers.AutoModelForSequenceClassification.from_pretrained("{base}", num_labels={count}, dtype="float32")
base.config.get_text_config().pad_token_id = transformers.AutoTokenizer.from_pretrained(".").pad_token_id
model = peft.PeftModel.from_pretrained(base, ".").eval()
```

{kind_note}Plain loading gives the network's logits, in the order of the labels above. It leaves out how a pair becomes the model's input
(`encoding` in `{FILE}`); `irtuning.Classifier` does that for you:

```python
from irtuning import Classifier
print(Classifier({where}).classify("before the revision", "after the revision"))
```
"""
