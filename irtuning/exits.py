"""How a command ends: its exit status, and its last words on standard error. Knows no command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import cyclopts
from pydantic import ValidationError

from irtuning.config import explain
from irtuning.errors import ConfigError, StudioError


def status_of(command: Callable[[], int | None]) -> int:
    """Runs a command; 0, 1 it failed, 2 a wrong argument, 130 interrupted. What it failed of is said in one sentence."""
    return _told_to_the_end(_answer(command))


def _answer(command: Callable[[], int | None]) -> int:
    try:
        return command() or 0
    except cyclopts.CycloptsError as error:
        print(_fault(error), file=sys.stderr)
        return 2
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except StudioError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except UnicodeEncodeError as error:
        sign = ascii(error.object[error.start])
        print(f"The output is written as {error.encoding}, which lacks the sign {sign}: set PYTHONIOENCODING=utf-8.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has enough, as `| head` has.
        return 0
    except OSError as error:
        print(_reason(error), file=sys.stderr)
        return 1


def _fault(error: cyclopts.CycloptsError) -> str:
    if isinstance(error.__cause__, ValidationError):
        return explain(error.__cause__)
    if isinstance(error, cyclopts.UnusedCliTokensError):
        return f"Nothing here takes {', '.join(map(repr, error.unused_tokens))}: see --help for what can be given."
    return str(error)


def _told_to_the_end(status: int) -> int:
    """The status of a command once its last words are out; 1 where they were lost, but not where nobody reads any more."""
    if sys.stdout is None:
        return status
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(_reason(error), file=sys.stderr)
            return status or 1
    return status


def _reason(error: OSError) -> str:
    return f"This machine could not do it: {error.strerror or type(error).__name__}."
