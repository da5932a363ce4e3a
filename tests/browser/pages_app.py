"""Serves the real pages on a store of one's own, with workers that train nothing: pages_app.py HOME RECORDED PORT."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_SERVER_PORT"] = sys.argv[3]
os.environ["GRADIO_SERVER_NAME"] = "127.0.0.1"

import app
from irtuning.insight.machine import MachineProbe
from irtuning.revisions.encoding import check_pair
from irtuning.runs.launch import LocalLauncher
from irtuning.runs.store import RunStore
from irtuning.ui.shell import build_ui
from irtuning.ui.studio import Studio
from tests.browser import quick_worker
from tests.simulated import LABELS

MACHINE = '{"device": "cpu", "name": "2 CPU cores", "dtype": "bfloat16", "cores": 2, "memory_gib": 8.0, "gpu_memory_gib": null}'


class QuickShelf:
    """Adapters that answer the same for every pair."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    def list(self) -> list[dict[str, Any]]:
        """Those of finished runs, then one that is always there."""
        runs = [row["run"] for row in self._store.list() if row["has_adapter"]]
        return [
            {"id": name, "title": name, "model": "minilm", "corpus": "starter", "macro_f1": 0.58, "floor_macro_f1": 0.53,
             "labels": LABELS, "shipped": name == "shipped"}
            for name in [*runs, "shipped"]
        ]

    def classify(self, before: str, after: str, adapter: str = "") -> dict[str, Any]:
        """Fluency, whatever the pair is."""
        check_pair(before, after)
        return {"label": "fluency", "probabilities": dict(zip(LABELS, (0.1, 0.72, 0.1, 0.05, 0.03), strict=True)),
                "adapter": adapter, "abstained": False}


def main() -> None:
    """Serves until it is ended."""
    store = RunStore(Path(sys.argv[1]), recorded=Path(sys.argv[2]))
    root = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = root
    launcher = LocalLauncher(store, command=[sys.executable, quick_worker.__file__])
    probe = MachineProbe([sys.executable, "-c", f"print({MACHINE!r})"])
    blocks = build_ui(Studio(store, launcher, QuickShelf(store), probe, lambda: True))
    launcher.start()
    app.serve(blocks)
    blocks.block_thread()


if __name__ == "__main__":
    main()
