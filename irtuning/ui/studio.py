"""What every page is handed: the store it reads, the launcher it asks, the shelf of adapters, and what the machine is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from irtuning.insight.machine import MachineProbe
from irtuning.runs.launch import LocalLauncher
from irtuning.runs.store import RunStore

QUIET: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": None, "show_progress": "hidden"}
"""How a page's own handlers are registered: no endpoint, never in one another's way, no flicker."""


class Shelf(Protocol):
    """The adapters that can classify."""

    def list(self) -> list[dict[str, Any]]:
        """id, title, model, corpus, macro_f1, floor_macro_f1, labels, shipped of each; the first one is taken by default."""

    def classify(self, before: str, after: str, adapter: str = "") -> dict[str, Any]:
        """label, probabilities, adapter, abstained of a pair."""


@dataclass(frozen=True)
class Studio:
    """The parts that the pages work with."""

    store: RunStore
    launcher: LocalLauncher
    shelf: Shelf
    probe: MachineProbe
    paths_allowed: Callable[[], bool]
    """Whether visitors may name files and folders of this machine."""
