"""What broke, as a sentence fit to show: memory or a disk that ran out, with what helps, and all else. Knows no model."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from irtuning.errors import BREAKS, StudioError
from irtuning.tuning.device import out_of_memory


def explanation(error: Exception) -> StudioError:
    """The sentence for an error of a computation, with the error as its cause."""
    if out_of_memory(error):
        told = StudioError(
            "The memory ran out.",
            "Lower tokens per micro-batch, the batch size or the maximum length, or take a smaller model.",
        )
    elif getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
        told = StudioError("The disk is full.", "Make room, then go on from the run's last checkpoint (train --resume).")
    else:
        told = StudioError(
            f"Training broke with {type(error).__name__}.", "Look at worker.log in the run's folder for the details."
        )
    told.__cause__ = error
    return told


@contextmanager
def explained() -> Iterator[None]:
    """Raises what breaks in here as its explanation.

    Raises:
        StudioError: something broke.
    """
    try:
        yield
    except BREAKS as error:
        raise explanation(error) from error
