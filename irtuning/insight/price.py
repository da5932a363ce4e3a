"""Price: what a run's training cost, and that against a reference run, as a rule one that trains every layer every step.

Pure; knows a run's history alone. Times compare only where both runs trained on the same kind of device: that is the caller's to see to.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from irtuning.insight.history import RunHistory

RATIOS = ("seconds", "tokens", "seconds_per_1000_tokens", "peak_memory_mib", "trained_share")


@dataclass(frozen=True)
class Price:
    """What the steps of a run cost; loading and evaluating are not in it.

    Attributes:
        steps: optimizer steps. seconds: sum over them. tokens: without padding, sum over them.
        seconds_per_1000_tokens: None where no tokens were counted.
        peak_memory_mib: highest memory after a step, MiB. trained_share: of layers times steps, 0 to 1.
    """

    steps: int
    seconds: float
    tokens: int
    seconds_per_1000_tokens: float | None
    peak_memory_mib: float | None
    trained_share: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return asdict(self)


def price_of(history: RunHistory) -> Price:
    """What a run cost; steps that a resumed run made anew count once."""
    seconds, tokens = float(np.nansum(history.seconds)), int(np.nansum(history.tokens))
    return Price(
        steps=len(history),
        seconds=seconds,
        tokens=tokens,
        seconds_per_1000_tokens=1000 * seconds / tokens if tokens else None,
        peak_memory_mib=float(np.nanmax(history.memory_mib)) if np.isfinite(history.memory_mib).any() else None,
        trained_share=float(history.selected.mean()) if history.selected.size else None,
    )


def ratios(run: Price, reference: Price) -> dict[str, float | None]:
    """Each of RATIOS, the run's figure divided by the reference's; below 1 is cheaper. None where one is missing or divides by 0."""
    pairs = {name: (getattr(run, name), getattr(reference, name)) for name in RATIOS}
    return {name: mine / theirs if mine is not None and theirs else None for name, (mine, theirs) in pairs.items()}
