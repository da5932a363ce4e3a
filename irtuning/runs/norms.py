"""module_norms.jsonl: gradient norms per module of some steps of a run, for looking inside a layer.

The first line names the modules; each further line holds a step and one norm a module, null where not measured.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType

EVERY = 10
"""Steps between two lines; the first ten steps are all kept."""


class NormsFile:
    """Writes a sample of the norms that training measures.

    A module's norm is the L2 norm over its adapter's tensors (A and B of LoRA).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = None
        self._groups: list[list[int]] = []

    def take(self, names: list[str], step: int, norms: list[float]) -> None:
        """Keeps the norms of a step if its turn has come.

        Args:
            names: of the tensors, shape (tensors,). norms: theirs, negative where there is no gradient.
        """
        if step > EVERY and step % EVERY:
            return
        if self._file is None:
            modules: dict[str, list[int]] = {}
            for i, name in enumerate(names):
                modules.setdefault(name.split(".lora_")[0], []).append(i)
            self._groups = list(modules.values())
            self._file = self._path.open("w", encoding="utf-8")
            self._file.write(json.dumps({"modules": list(modules)}) + "\n")
        values = [self._norm([norms[i] for i in group]) for group in self._groups]
        self._file.write(json.dumps({"step": step, "norms": values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Ends the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> NormsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _norm(parts: list[float]) -> float | None:
        if any(part < 0 or not math.isfinite(part) for part in parts):
            return None
        return float(f"{math.sqrt(sum(part * part for part in parts)):.4g}")
