"""A worker that trains nothing but writes what the real one writes, a step each twentieth of a second: quick_worker.py RUN_DIR."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from irtuning.events import Stopped
from irtuning.runs.store import EventLog, RunStore, claim, stop_requested, store_lock
from tests.simulated import LABELS, simulate

WRONG = {"before": "He go <b>home</b>.", "after": "He goes <b>home</b>.", "label": "fluency", "predicted": "style", "probability": 0.81}


def closing(labels: Sequence[str] = LABELS) -> dict:
    """metrics.json of a network that is not shown to beat the floor."""
    count = len(labels)
    per = {label: {"precision": 0.6, "recall": 0.6, "f1": 0.6, "support": 24} for label in labels}
    network = {"accuracy": 0.6, "macro_f1": 0.58, "weighted_f1": 0.6, "au_prc": 0.6, "per_class": per}
    floor = {**network, "macro_f1": 0.53}
    return {
        "labels": list(labels), "network": network, "floor": floor, "validation": network, "floor_confusion": [[5] * count] * count,
        "confusion": [[20 if i == j else 1 for j in range(count)] for i in range(count)],
        "difference": {"macro_f1": 0.05, "low": -0.02, "high": 0.12, "rows": 120, "clear": False},
        "wrong": [WRONG] * 10, "seconds": 3.0, "peak_memory_mib": 500.0, "best_step": 20, "steps": 20,
        "layers_trained": [10] * 6, "selected_fraction": 0.5,
    }


def main(run_dir: Path) -> int:
    """Writes a run of as many steps as it was asked for, 60 without a wish."""
    claim(run_dir)
    log = EventLog(run_dir)
    config = RunStore(run_dir.parent).run_config(run_dir.name)
    with store_lock(run_dir.parent, run_dir.name):
        for event in simulate(layers=6, steps=config.max_steps or 60):
            if stop_requested(run_dir):
                log.append(Stopped(what="The run was stopped; its adapter is saved and can be tried."))
                return 130
            if event.kind == "step":
                time.sleep(0.05)
            if event.kind == "finished":
                (run_dir / "adapter").mkdir(exist_ok=True)
                (run_dir / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
                (run_dir / "metrics.json").write_text(json.dumps(closing()))
            log.append(event.model_copy(update={"started": None}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
