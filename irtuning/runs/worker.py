"""The process that trains: `python -m irtuning.runs.worker RUN_DIR`. Config in, events out; nobody has to read for it to go on.

Knows no page. It waits for its turn on the store's lock, so that one worker trains at a time; the kernel frees the lock of
a worker that is killed. SIGTERM and SIGINT ask it to stop, as the file `stop` in its folder does.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from irtuning.errors import BREAKS, StopRequested, StudioError
from irtuning.events import Failed, Phase, Stopped
from irtuning.runs.process import LOG
from irtuning.runs.status import OPEN_STATES
from irtuning.runs.stopping import StopSignal, ended_early
from irtuning.runs.store import EventLog, RunStore, claim, store_lock
from irtuning.runs.together import Invite
from irtuning.tuning.weights import find_weights


def work(
    run_dir: Path,
    *,
    log: EventLog | None = None,
    stop: StopSignal | None = None,
    waiting: Callable[[str], None] = lambda run: None,
    resume: bool = False,
    invite: Invite = lambda folder, config, resume: None,
) -> int:
    """Trains the run of a folder in this process; 0 finished, 1 failed, 130 stopped.

    Args:
        log: where events go; the folder's own by default.
        waiting: told the run that trains on this store now, once, if this one has to wait.
        resume: go on from the newest checkpoint, of a run that `RunStore.reopen` took up.
        invite: tells other processes to train with this one.
    """
    run_dir = run_dir.resolve()
    store, run = RunStore(run_dir.parent), run_dir.name
    log = log or EventLog(run_dir)
    stop = stop or StopSignal(run_dir)
    stop.listen()
    claim(run_dir)

    def must_wait(holder: str) -> None:
        log.append(Phase(name="waiting", text=f"Waits for {holder}." if holder else "Waits for another run."))
        waiting(holder)
        if stop():
            raise StopRequested

    try:
        with store_lock(store.home, run, waiting=must_wait, should_stop=stop):
            # While it waited, another process may have brought it to its end.
            if (state := store.state(run)) not in OPEN_STATES:
                return {"finished": 0, "stopped": 130}.get(state, 1)
            log.append(Phase(name="loading"))
            config = store.run_config(run)
            # Before torch loads: that a model is not to be had is said at once.
            find_weights(config.model_name or "", use_instruction=bool(config.use_instruction))
            # torch loads in here, after the page has been told that something happens.
            from irtuning.runs.conduct import conduct

            invite(run_dir, config, resume)
            result = conduct(
                run_dir,
                config,
                log.append,
                stop,
                lambda **values: store.update_config(run, **values),
                resume=resume,
            )
            return 130 if result.stopped else 0
    except StopRequested:
        log.append(Stopped(what=ended_early(run_dir)))
        return 130
    except StudioError as error:
        if isinstance(error.__cause__, BREAKS):
            _keep_details(run_dir)
        log.append(Failed(what=error.what, advice=error.advice))
        return 1
    except KeyboardInterrupt:
        log.append(Stopped(what="The run was ended at once; nothing of its last steps is kept."))
        return 130
    except Exception as error:
        _keep_details(run_dir)
        log.append(
            Failed(
                what=f"The run broke with {type(error).__name__}.",
                advice=f"Look at {LOG} in the run's folder for the details.",
            )
        )
        return 1


def _keep_details(run_dir: Path) -> None:
    """Where the code broke, into the run's folder: a terminal gets the sentence alone."""
    with (run_dir / LOG).open("a", encoding="utf-8") as file:
        traceback.print_exc(file=file)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m irtuning.runs.worker RUN_DIR")
    sys.exit(work(Path(sys.argv[1])))
