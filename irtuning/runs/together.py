"""One run trained by several processes, as `accelerate launch` or torchrun start them: the first has the run, the others follow.

Knows no page and no command line. Only the first process makes the folder, takes the store's lock, writes and tells.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from irtuning.config import RunConfig, parse_config
from irtuning.errors import StudioError


def processes() -> int:
    """How many processes were started together; 1 for one alone."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def is_first() -> bool:
    """Whether this process is the one that has the run."""
    return int(os.environ.get("RANK") or 0) == 0


def for_all(config: RunConfig, count: int) -> RunConfig:
    """A request in which a device's batch, where it was given, is that of all `count` devices together.

    Raises:
        ConfigError: the batches do not multiply.
    """
    part = config.per_device_train_batch_size
    if not part or count == 1:
        return config
    return parse_config({**config.model_dump(exclude_none=True), "per_device_train_batch_size": part * count})


def share(told: tuple[str, RunConfig, bool] | None) -> None:
    """Tells the other processes which run they train: its folder, its settings, whether it goes on; None: there is none."""
    _exchange(told)


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
    except StudioError:
        return 1
    return 130 if result.stopped else 0


def _exchange(told: Any) -> Any:
    from accelerate import PartialState

    from irtuning.tuning.ranks import told_by_first

    PartialState()
    return told_by_first(told)
