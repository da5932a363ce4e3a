"""What a public host takes: models and corpora of the catalogue, work of a bounded size, so many runs at a time.

Pure; knows no page and no endpoint. On one's own machine nothing here is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.errors import ConfigError, CorpusError, RunError
from irtuning.insight.estimate import Sizes
from irtuning.runs.description import local_path
from irtuning.runs.status import OPEN_STATES

STRICT_CAPS = {"max_steps": 300, "max_length": 256, "batch_size": 32, "lora_r": 64, "bottleneck_width": 256,
               "tokens_per_micro_batch": 4096}
"""Most of each that a public host takes."""
MOST_ROWS = 20_000
"""Rows of an uploaded corpus: all of them are read, encoded and scored, whatever the steps."""
MOST_OPEN = 12
"""Runs that train or wait."""
LIFT = "whoever runs this host can lift that with IRTUNING_HOST=open"


def refuse_when_full(runs: Iterable[Mapping[str, Any]]) -> None:
    """Refuses one more run where so many wait that it would not begin for long.

    Raises:
        RunError: the queue is full.
    """
    if sum(run["state"] in OPEN_STATES for run in runs) >= MOST_OPEN:
        raise RunError(f"{MOST_OPEN} runs wait or train here already.", "Try again once some have ended.")


def refuse_large(sizes: Sizes | None) -> None:
    """Refuses an uploaded corpus of too many rows; one that is too large to be counted, too.

    Raises:
        CorpusError: it has more rows than this host takes.
    """
    if sizes is None or sizes.train + sizes.validation + sizes.test > MOST_ROWS:
        raise CorpusError(f"This host takes {MOST_ROWS:,} rows of a file at most.", f"Take a part of it; {LIFT}.")


def bounded(request: RunConfig) -> RunConfig:
    """A request with its steps under a public host's cap, however many its epochs would take."""
    most = STRICT_CAPS["max_steps"]
    return request.model_copy(update={"step_limit": min(request.step_limit or most, most)})


def strict(request: RunConfig) -> RunConfig:
    """A request as a public host takes it: names of the catalogue, sizes under its caps, steps always bounded.

    Raises:
        ConfigError: it asks for something else.
    """
    resolved = request.resolve()
    if resolved.model_name not in catalogue.EMBEDDED:
        raise ConfigError(
            "On this host only the models that come with it can be trained.",
            f"Choose one of {', '.join(catalogue.EMBEDDED)}.",
        )
    if local_path(resolved.dataset_name, catalogue.CORPORA) or resolved.dataset_name not in catalogue.CORPORA:
        raise ConfigError(
            "On this host only the corpora of the list can be trained on.",
            f"Choose one of {', '.join(catalogue.CORPORA)}.",
        )
    for name, most in STRICT_CAPS.items():
        value = getattr(resolved, name)
        if value is not None and value > most:
            raise ConfigError(
                f"{name.replace('_', ' ').capitalize()}: this host takes {most} at most, not {value}.",
                f"Choose less; {LIFT}.",
            )
    if resolved.report_to != "none":
        raise ConfigError("This host reports to nobody.", "Leave report to out, or run the studio on a machine of your own.")
    # Nobody but the host could resume a run here, so no checkpoints are written.
    return bounded(request).model_copy(update={"save_steps": 0})
