"""module_norms.jsonl: gradient norms per module of some steps of a run, for looking inside a layer.

The first line names the modules; each further line holds a step and one norm a module, null where not measured.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType

from irtuning.tuning.projections import adapted_module

EVERY = 10
"""Steps between two lines; the first ten steps are all kept."""


class NormsFile:
    """Writes a sample of the norms that training measures.

    A module's norm is the L2 norm over its adapter's tensors (A and B of LoRA).
    What an earlier process wrote of the steps before the first one taken stays; the rest goes.
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
                modules.setdefault(adapted_module(name), []).append(i)
            self._groups = list(modules.values())
            kept = _before(self._path, step)
            self._file = self._path.open("w", encoding="utf-8")
            self._file.write("".join(f"{line}\n" for line in kept or [json.dumps({"modules": list(modules)})]))
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


def _before(path: Path, step: int) -> list[str]:
    """The lines that stay of an earlier process: the modules' names and the steps before this one; none where it is the first."""
    if step <= 1 or not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = lines[:1]
    for line in lines[1:]:
        try:
            if json.loads(line)["step"] < step:
                kept.append(line)
        except (ValueError, KeyError):
            break
    return kept
