"""Whether the hub answers: asked once, for three seconds, before anything is loaded from it. Knows nothing of what is loaded."""

from __future__ import annotations

from contextlib import suppress
from threading import Thread

SECONDS = 3.0


def hub_answers() -> bool:
    """Whether the hub can be reached: one request, three seconds, no retry; never in offline mode."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answered: list[int] = []

    def ask() -> None:
        # The last two: the environment names a proxy of a kind that httpx does not know, or not without another package.
        with suppress(httpx.HTTPError, OSError, ValueError, ImportError):
            answered.append(httpx.head(constants.ENDPOINT, timeout=SECONDS, follow_redirects=False).status_code)

    # In a thread, since looking a name up knows no time limit.
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    return bool(answered)
