"""LocalLauncher: runs wait in the store, and a process on this machine trains one at a time.

Nothing about the queue is kept in memory: it is the folders without a closing event, so a restarted app goes on with it
and two apps on one store share it. Workers outlive the app. Knows no model and no page.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from irtuning.config import RunConfig
from irtuning.errors import StudioError
from irtuning.events import Failed, Stopped
from irtuning.runs.lock import dispatch_lock
from irtuning.runs.log import FILE as EVENTS
from irtuning.runs.process import LOG, claim, read_process
from irtuning.runs.status import OPEN_STATES, State
from irtuning.runs.stopping import GRACE, Grace, kept, press, stop_requested
from irtuning.runs.store import EventLog, RunStore

# Not from the current folder, where a file of the user's could hide a module (-P).
WORKER = (sys.executable, "-P", "-m", "irtuning.runs.worker")
POLL_SECONDS, TROUBLED_SECONDS = 0.3, 5.0
"""Between two looks at the store, and after one that something came between, as a full disk."""
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_log = logging.getLogger(__name__)


class LocalLauncher:
    """Starts waiting runs, one at a time, each in a process of its own; makes those end that were asked to.

    Args:
        store: where runs live.
        command: what trains a run; the run's folder is appended.
        grace: how long a run may take to stop by itself.
        clock: seconds since 1970.
        poll_seconds: between two looks at the store.
        make_room: called when a run starts, for those who hold memory that it may need.
    """

    def __init__(
        self,
        store: RunStore,
        *,
        command: Sequence[str] = WORKER,
        grace: Grace = GRACE,
        clock: Callable[[], float] = time.time,
        poll_seconds: float = POLL_SECONDS,
        make_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._command, self._grace = store, tuple(command), grace
        self._clock, self._poll_seconds, self._make_room = clock, poll_seconds, make_room
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._thread: threading.Thread | None = None
        self._complained = ""
        self._wake, self._closed = threading.Event(), threading.Event()
        self._admitting = threading.Lock()

    def start(self) -> None:
        """Begins to look after the store in a thread; goes on with runs that an earlier app left waiting."""
        if self._thread is None:
            self._store.sweep()
            self._closed.clear()
            self._thread = threading.Thread(target=self._look_after, name="launcher", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread. A worker that trains lives on."""
        self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def __enter__(self) -> LocalLauncher:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def submit(
        self, config: RunConfig, preset: str | None = None, owner: str = "", *, admit: Callable[[list[dict]], None] | None = None
    ) -> dict[str, Any]:
        """Puts a run into the queue.

        Args:
            preset: name of the preset it starts from. owner: a token; only its hash is kept.
            admit: shown the runs that are there, no other one coming in between; raises where one more is too many.

        Returns:
            {"run", "place": how many runs come before it, 0 where it starts at once}.

        Raises:
            ConfigError: the choices cannot be right. RunError: the store cannot be written.
        """
        with self._admitting if admit else nullcontext():
            if admit:
                admit(self._store.list())
            run = self._store.create(config, preset=preset, owner=owner, queued=True)
        place = self._store.place(run)
        self._wake.set()
        return {"run": run, "place": place}

    def stop(self, run: str) -> State:
        """Cancels a waiting run or asks a training one to stop; returns at once with its state.

        One that does not stop by itself is made to by the thread that `start` began.

        Raises:
            RunError: there is no such run, or it is a recorded one.
        """
        state = self._store.request_stop(run)
        self._wake.set()
        return state

    def _look_after(self) -> None:
        while not self._closed.is_set():
            pause = self._poll_seconds
            try:
                self.tick()
                self._complained = ""
            except Exception as error:
                pause = max(pause, TROUBLED_SECONDS)
                # The next look may go better; without this thread nothing would ever start again.
                if self._complained != str(error):
                    _log.exception("looking after the runs failed")
                self._complained = str(error)
            self._wake.wait(pause)
            self._wake.clear()

    def tick(self) -> None:
        """One look at the store: bury the dead, press those that should stop, start the next one."""
        self._reap()
        if not self._store.home.is_dir():
            return  # nothing was ever submitted
        with dispatch_lock(self._store.home, wait=False) as mine:
            if not mine:
                return  # another app is at it
            rows = self._store.unended()
            for row in rows:
                self._look_at(row)
            waiting = [row for row in rows if row["state"] in OPEN_STATES]
            if waiting and not any(row["claimed"] for row in waiting):
                self._spawn(waiting[0]["run"])

    def _look_at(self, row: dict[str, Any]) -> None:
        folder = self._store.path(row["run"])
        if not stop_requested(folder):
            return
        if row["state"] == "lost":
            what = f"The run did not stop by itself and was ended. {kept(folder)}"
            # It ended when it last said something, not now.
            EventLog(folder, clock=lambda: (folder / EVENTS).stat().st_mtime).append(Stopped(what=what))
        elif row["claimed"]:
            press(folder, row["phase"], self._grace, self._clock())

    def _reap(self) -> None:
        for run, child in list(self._children.items()):
            status = child.poll()
            if status is None:
                continue
            del self._children[run]
            try:
                self._bury(run, child.pid, status)
            except StudioError:
                continue  # deleted by now

    def _bury(self, run: str, pid: int, status: int) -> None:
        """Says why a child ended, where it left without a word and its exit status tells."""
        with dispatch_lock(self._store.home):
            folder = self._store.path(run)
            mine = (read_process(folder) or {}).get("pid") == pid
            if not mine or self._store.state(run) != "lost" or stop_requested(folder) or status < 0:
                return
            EventLog(folder).append(
                Failed(
                    what=f"The training process ended with status {status} before the run was finished.",
                    advice=f"Look at {LOG} in the run's folder for the reason.",
                )
            )

    def _spawn(self, run: str) -> None:
        if run in self._children:
            return  # it has not come to itself yet
        folder = self._store.path(run)
        try:
            with (folder / LOG).open("ab") as log:
                child = subprocess.Popen(
                    [*self._command, str(folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=worker_environment(os.environ),
                )
        except OSError as error:
            EventLog(folder).append(
                Failed(
                    what=f"The training process could not be started ({error.strerror or 'unknown reason'}).",
                    advice="Close other programs and run it again.",
                )
            )
            return
        self._children[run] = child
        # Claimed for it at once, so that nobody starts a second one while Python starts.
        try:
            claim(folder, child.pid)
        except OSError:
            child.kill()
            child.wait()
            del self._children[run]
            raise
        # Whoever holds the memory may be busy with it, and nobody here waits for that.
        threading.Thread(target=self._make_room, name="make-room", daemon=True).start()


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker: without the app's own settings, able to import this package from anywhere."""
    kept_ones = {name: value for name, value in environment.items() if not name.startswith("GRADIO_")}
    path = os.pathsep.join(part for part in (str(_PACKAGE_ROOT), environment.get("PYTHONPATH", "")) if part)
    return {**kept_ones, "PYTHONPATH": path, "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
