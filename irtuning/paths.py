"""Files and folders that a person named. Knows nothing of what should be in them."""

from __future__ import annotations

from pathlib import Path


def existing(name: str) -> Path | None:
    """The file or folder of this name, `~` being the home; None where there is none or the name cannot be one."""
    try:
        path = Path(name).expanduser()
        return path if name.strip() and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # a name too long, a NUL, an unknown ~user, a folder that is not ours
        return None
