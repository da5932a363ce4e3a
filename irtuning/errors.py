"""Errors fit to show to a user: one sentence that says what is wrong and what to do.

    StudioError
    ├── ConfigError      a choice of a run that cannot be right
    ├── CorpusError      texts that cannot be read or trained on
    ├── ModelError       a base model that cannot be loaded
    ├── AdapterError     an adapter that cannot be found, loaded or used
    ├── RevisionError    a pair that cannot be classified
    ├── RunError         a run that cannot be found, started, stopped or deleted
    └── StopRequested    not a fault: somebody asked the run to stop

Whoever shows an error to a person shows `str(error)` and nothing else. Knows nothing of where it is shown.
"""

from __future__ import annotations

from safetensors import SafetensorError

BREAKS = (RuntimeError, MemoryError, OSError, SafetensorError)
"""What torch raises in a computation, and what comes of a disk: not fit to show; their details are worth keeping."""


class StudioError(Exception):
    """Base of all errors whose message may be shown to a user.

    Args:
        what: one sentence that says what is wrong.
        advice: one sentence that says what to do, empty where `what` says it already.
    """

    def __init__(self, what: str, advice: str = "") -> None:
        self.what = what
        self.advice = advice
        super().__init__(f"{what} {advice}".strip())


class ConfigError(StudioError):
    """A choice of a run that cannot be right."""


class CorpusError(StudioError):
    """Texts that cannot be read or trained on."""


class ModelError(StudioError):
    """A base model that cannot be loaded."""


class AdapterError(StudioError):
    """An adapter that cannot be found, loaded or used."""


class RevisionError(StudioError):
    """A pair that cannot be classified."""


class RunError(StudioError):
    """A run that cannot be found, started, stopped or deleted."""


class StopRequested(StudioError):
    """Somebody asked the run to stop; what was computed so far is kept."""

    def __init__(self) -> None:
        super().__init__("The run was asked to stop.")
