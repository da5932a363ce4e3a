"""One run trained by several processes, as `accelerate launch` or torchrun start them: the first has the run, the others follow.

Knows no page and no command line. Only the first process makes the folder, takes the store's lock, writes and tells.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from irtuning.config import RunConfig, parse_config, processes
from irtuning.errors import StudioError

LONGEST_WAIT = timedelta(days=1)
Invite = Callable[[Path, RunConfig, bool], None]
"""Tells all processes which run they train: its folder, its settings, whether it goes on from a checkpoint."""


def is_first() -> bool:
    """Whether this process is the one that has the run."""
    return int(os.environ.get("RANK") or 0) == 0


def for_all(config: RunConfig) -> RunConfig:
    """A request in which a device's batch, where it was given, is that of all processes' devices together.

    Raises:
        ConfigError: the batches do not multiply.
    """
    part, count = config.per_device_train_batch_size, processes()
    if not part or count == 1:
        return config
    return parse_config({**config.model_dump(exclude_none=True), "per_device_train_batch_size": part * count})


@contextmanager
def inviting() -> Iterator[Invite]:
    """What the first process does its part in; the others, who wait for a word, are told to go where none was said."""
    told = processes() == 1

    def invite(folder: Path, config: RunConfig, resume: bool) -> None:
        nonlocal told
        if not told:
            told = True
            _exchange((str(folder), config, resume))

    try:
        yield invite
    finally:
        if not told:
            _exchange(None)


def follow() -> int:
    """What every process but the first does; 0 trained, 1 failed, 130 stopped."""
    told = _exchange(None)
    if told is None:
        return 1
    from irtuning.runs.stopping import StopSignal
    from irtuning.tuning.checkpoints import FOLDER
    from irtuning.tuning.training import train

    folder, config, resume = Path(told[0]), told[1], told[2]
    stop = StopSignal(folder)
    stop.listen()
    try:
        result = train(
            config, output_dir=folder / "adapter", should_stop=stop, checkpoints=folder / FOLDER, resume=resume
        )
    except StudioError as error:
        print(f"Process {os.environ['RANK']}: {error}", file=sys.stderr)
        return 1
    return 130 if result.stopped else 0


def _exchange(told: Any) -> Any:
    from irtuning.tuning.ranks import join_others, told_by_first

    # The first process may have to wait for another run to end before it says a word.
    join_others(timeout=LONGEST_WAIT)
    return told_by_first(told)
