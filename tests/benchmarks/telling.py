"""How a comparison that was run by hand ends: its table, and one JSON line. Knows no comparison."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TypeVar

from irtuning.errors import StudioError

Found = TypeVar("Found")


def told(compare: Callable[[], Found], table: Callable[[Found], str]) -> Found:
    """Prints what was found; where model or corpus cannot be had, says so in a sentence and ends with status 1."""
    try:
        found = compare()
    except StudioError as error:
        sys.exit(str(error))
    print(table(found))
    print(json.dumps(found))
    return found
