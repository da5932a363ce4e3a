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
    elif _disk_is_full(error):
        told = StudioError("The disk is full.", "Make room, then go on from the run's last checkpoint (train --resume).")
    else:
        told = StudioError(
            f"Training broke with {type(error).__name__}.", "Look at worker.log in the run's folder for the details."
        )
    told.__cause__ = error
    return told


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether it says so, or what it came of; torch's own writer gives no number, only that it failed."""
    if error is None:
        return False
    words = ("No space left", "PytorchStreamWriter failed writing", "iostream error")
    full = getattr(error, "errno", None) == errno.ENOSPC or any(text in str(error) for text in words)
    return full or _disk_is_full(error.__context__)


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
