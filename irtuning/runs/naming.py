"""Names of runs: `brisk-otter-3f2a`, an adjective, an animal and four hexadecimal digits. Knows no disk."""

from __future__ import annotations

import re
import secrets

from irtuning.errors import RunError

_ADJECTIVES = (
    "able agile amber ample apt azure bold bright brisk calm candid clear clever coral crisp curious deft eager "
    "early easy fair fleet fond frank fresh gentle glad golden grand green handy happy hardy honest jolly keen "
    "kind late light lively lucid merry mild neat nimble noble pale patient plain proud quick quiet rapid ready "
    "silver spry steady sunny swift warm"
)
_ANIMALS = (
    "badger beaver bison bunting camel cat cheetah cicada cod crane cricket crow deer dingo dolphin donkey dove "
    "eagle eel elk falcon ferret finch fox frog gecko goat goose gull hare hawk heron horse ibex jay koala lark "
    "lemur lion llama lynx magpie marten mole moose moth newt ocelot osprey otter owl panda pika plover puffin "
    "quail raven seal stork swan toad trout vole walrus whale wren yak zebra"
)
ADJECTIVES, ANIMALS = tuple(_ADJECTIVES.split()), tuple(_ANIMALS.split())
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
SHOWN = 40
"""Most characters of a wrong id that a message repeats."""


def new_id() -> str:
    """A fresh id; whether it is taken is for the store to see."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}-{secrets.token_hex(2)}"


def is_id(value: object) -> bool:
    """Whether a value can be a run's id; one that can holds nothing a path could be made of."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def title(run: str) -> str:
    """The part of an id that people say: `brisk-otter` of `brisk-otter-3f2a`."""
    return re.sub(r"-[0-9a-f]{4}$", "", run)


def no_such_run(value: object) -> RunError:
    """The error for an id that names no run; repeats it shortened and escaped."""
    shown = value if isinstance(value, str) else type(value).__name__
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "…"
    return RunError(f"There is no run called {ascii_safe(shown)}.", "Choose one of the list of runs.")


def ascii_safe(value: str) -> str:
    """A text in quotes, with control characters escaped, so that a message stays one line."""
    return "'" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value) + "'"
