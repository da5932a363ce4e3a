"""A run that never was: events as a worker writes them, from the real selection on made-up gradients. No model, no texts.

As a program it writes such a run into a store, all at once or live: simulated.py HOME RUN [--layers N --steps N --every SECONDS].
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from irtuning import events
from irtuning.tuning.selection import select_layers

LABELS = ["clarity", "fluency", "coherence", "style", "meaning-changed"]


def simulate(
    *, layers: int = 30, steps: int = 60, method: str = "ir", splits: int = 1, boundary: str = "reference", seed: int = 3,
    warmup: int = 4, evaluate_every: int = 20, seconds: float = 3.0,
) -> Iterator[events._Event]:
    """Events of a whole run, in their order, with the times of a run that takes `seconds` a step."""
    random = np.random.default_rng(seed)
    now = 0.0

    def at(event: events._Event, took: float = 0.0) -> events._Event:
        nonlocal now
        now = round(now + took, 4)
        return event.model_copy(update={"time": now})

    def evaluated(step: int, subset: str, of: str, f1: float) -> events.Evaluated:
        per = {label: {"precision": f1, "recall": f1, "f1": f1, "support": 24} for label in LABELS}
        metrics = {"accuracy": f1, "macro_f1": f1, "weighted_f1": f1, "au_prc": f1, "per_class": per}
        return events.Evaluated(step=step, subset=subset, of=of, metrics=metrics, confusion=[[5] * 5] * 5)

    yield events.Phase(name="waiting", started="2026-01-01T10:00:00+00:00")
    yield at(events.Phase(name="loading"), 0.2)
    yield at(events.Phase(name="floor"), 0.2)
    yield at(evaluated(0, "validation", "floor", 0.55))
    yield at(evaluated(0, "test", "floor", 0.53))
    yield at(events.RunStarted(
        layers=layers, layer_names=[f"model.layers.{i}" for i in range(layers)], parameters_trainable=1000, parameters_total=9000,
        device="cpu", dtype="bfloat16", steps=steps, corpus_sizes={"train": 400, "validation": 80, "test": 120}, labels=LABELS,
    ))
    yield at(events.Phase(name="training"))
    level = 1.15 + 0.14 * np.sin(np.arange(layers) * 0.9) + random.normal(0, 0.1, layers)
    grown, walk, scores = np.zeros(layers), np.zeros(layers), np.full(layers, 1000.0)
    for step in range(1, steps + 1):
        split = None
        chosen = tuple(range(layers))
        if method == "ir":
            ranked = random.random(layers) if (scores == 1000).all() else scores
            selection = select_layers(ranked, splits=splits, boundary=boundary)
            chosen = selection.layers
            split = [
                events.SplitRound(rank=r.rank, low_variance=r.low_variance, high_variance=r.high_variance)
                for r in selection.rounds if r.rank is not None
            ] or None
        grown[list(chosen)] = np.minimum(1, grown[list(chosen)] + 0.12)
        walk = 0.995 * walk + random.normal(0, 0.012, layers)
        raw = (0.92 + 0.2 * np.sqrt(grown)) * level * np.exp(random.normal(0, 0.05) + walk + random.normal(0, 0.03, layers))
        scores[list(chosen)] = raw[list(chosen)]
        rate = 5e-4 * min(1.0, (step - 1) / warmup) if warmup else 5e-4
        yield at(events.Step(
            step=step, epoch=step / 30, loss=float(1.2 + 1.1 * np.exp(-step / 30) + random.normal(0, 0.2)), learning_rate=rate,
            scores=[float(raw[layer]) if layer in chosen else None for layer in range(layers)], selected=list(chosen),
            moved=list(chosen) if rate else [], split=split, seconds=seconds, tokens=800, memory_mib=1800.0,
        ), seconds)
        if step % evaluate_every == 0 or step == steps:
            yield at(evaluated(step, "validation", "network", float(0.6 - 0.35 * np.exp(-4 * step / steps))))
    yield at(events.Phase(name="evaluating"))
    yield at(evaluated(steps, "test", "network", 0.58), 1.0)
    yield at(events.Finished(what="Macro-F1 0.580 on 120 held-out revisions, above the bag of edits (0.530)."))


def plain(*args: events._Event) -> list[dict]:
    """Events as readers of the file get them."""
    return [json.loads(events.to_line(event)) for event in args]


def write_run(home: Path, run: str, made: Iterator[events._Event], *, every: float = 0.0, config: dict | None = None) -> Path:
    """Writes a run's folder; with `every`, live: a step each so many seconds, with this process as its worker."""
    from irtuning.runs.log import EventLog
    from irtuning.runs.process import claim

    folder = home / run
    folder.mkdir(parents=True)
    settings = {"run": run, "name": run.rsplit("-", 1)[0], "model_name": "smollm2-135m", "dataset_name": "starter",
                "tuning_method": "ir", "importance_metric_name": "gradient", "split_num": 1, "boundary": "reference", **(config or {})}
    if not every:
        (folder / "events.jsonl").write_text("".join(events.to_line(event) + "\n" for event in made))
        (folder / "config.json").write_text(json.dumps(settings))
        return folder
    claim(folder)
    (folder / "config.json").write_text(json.dumps(settings))
    log = EventLog(folder)
    for event in made:
        if event.kind == "step":
            time.sleep(every)
        log.append(event.model_copy(update={"started": None}))
    return folder


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("run")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--every", type=float, default=0.0)
    given = parser.parse_args()
    write_run(given.home, given.run, simulate(layers=given.layers, steps=given.steps), every=given.every)


if __name__ == "__main__":
    main()
