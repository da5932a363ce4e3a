"""Whose machine this is: one's own, where files and folders may be named, or a public host. Knows no gradio."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping

_PUBLIC_SIGNS = ("SPACE_ID", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE")
"""Variables that hosts set where other people reach the page."""


def local_paths_allowed(environment: Mapping[str, str] | None = None) -> bool:
    """Whether visitors may name files and folders of this machine.

    They may where the app listens on loopback, is no Space and has no share link; `IRTUNING_HOST=open|strict` says it
    outright, and what is neither counts as strict.
    """
    environment = os.environ if environment is None else environment
    said = environment.get("IRTUNING_HOST", "").strip().lower()
    if said:
        return said == "open"
    if any(environment.get(name) for name in _PUBLIC_SIGNS):
        return False
    if share_asked(environment):
        return False
    return _is_loopback(environment.get("GRADIO_SERVER_NAME") or "127.0.0.1")


def share_asked(environment: Mapping[str, str] | None = None) -> bool:
    """Whether a link for everybody was asked for. It is made only then: some notebooks' hosts would get one unasked."""
    environment = os.environ if environment is None else environment
    return environment.get("GRADIO_SHARE", "").strip().lower() in ("true", "1", "yes", "on")


def _is_loopback(name: str) -> bool:
    name = name.strip().strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
