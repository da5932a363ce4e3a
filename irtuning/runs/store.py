"""RunStore: one folder a run. Create, follow from an offset, list, stop, delete. Knows no model and starts no process.

A run's folder appears at once with all that belongs to it, and disappears at once: it is made and taken apart under a
name that starts with a dot, which no run has.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

from irtuning.combinations import applicable
from irtuning.config import RunConfig, parse_config
from irtuning.errors import ConfigError, RunError
from irtuning.events import Phase, Resumed, Stopped
from irtuning.runs import naming
from irtuning.runs.description import CONFIG, PRIVATE, describe, plain_config, read_json, with_paths, write_json
from irtuning.runs.listing import Listing, is_run
from irtuning.runs.lock import dispatch_lock, store_lock, unwritable
from irtuning.runs.log import FILE as EVENTS
from irtuning.runs.log import LIMIT_BYTES, EventLog, all_events, read_from
from irtuning.runs.process import claim
from irtuning.runs.status import OPEN_STATES, State
from irtuning.runs.stopping import ask, forget, stop_requested
from irtuning.tuning.checkpoints import FOLDER as CHECKPOINTS
from irtuning.tuning.checkpoints import latest_step

__all__ = ["RECORDED", "EventLog", "RunStore", "claim", "stop_requested", "store_lock"]

RECORDED = Path(__file__).resolve().parents[2] / "assets" / "recorded"
"""Runs that come with the studio: read, never written."""
METRICS, ADAPTER = "metrics.json", "adapter"
ABLATION = "ablation.json"
SCRATCH_SECONDS = 3600
"""After that long, a scratch folder was left by a process that died."""


class RunStore:
    """Runs in the folder `home`, and read-only ones in the folder `recorded`.

    Every method that takes a run's id raises RunError where there is no such run.
    """

    def __init__(self, home: Path, *, recorded: Path | None = None) -> None:
        self.home = Path(home).expanduser().absolute()
        self.recorded = Path(recorded).absolute() if recorded else None
        self._config_lock = threading.Lock()
        self._listing = Listing(self.home, self.recorded)

    @classmethod
    def default(cls, *, recorded: Path | None = None) -> RunStore:
        """The store in the folder that IRTUNING_HOME names, without it in the folder `runs` of the current one."""
        return cls(Path(os.environ.get("IRTUNING_HOME") or "runs"), recorded=recorded)

    # -- making and describing ---------------------------------------------------------------------------------------

    def create(self, config: RunConfig, *, preset: str | None = None, owner: str = "", queued: bool = False) -> str:
        """Makes a run's folder; its id.

        Args:
            config: the request; what nobody set is filled in.
            preset: name of the preset it starts from, applied here where it was not yet.
            owner: a token; only its hash is kept.
            queued: a launcher starts it later. Otherwise this process trains it and has it from the first moment.

        Raises:
            ConfigError: the choices cannot be right. RunError: the folder cannot be written.
        """
        config = config.with_preset(preset) if preset else config
        shared, private = describe(config, preset)
        private["owner_hash"] = hashlib.sha256(owner.encode()).hexdigest() if owner else None
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=self.home))
            scratch.chmod(0o755)
            try:
                return self._settle(scratch, shared, private, queued)
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
        except OSError as error:
            raise unwritable(error) from error

    def _settle(self, scratch: Path, shared: dict[str, Any], private: dict[str, Any], queued: bool) -> str:
        write_json(scratch / PRIVATE, private, mode=0o600)
        EventLog(scratch).append(Phase(name="waiting"))
        if not queued:
            claim(scratch)
        while True:
            run = naming.new_id()
            write_json(scratch / CONFIG, {"run": run, "name": naming.title(run), **shared})
            if (self.home / run).exists():
                continue
            scratch.rename(self.home / run)
            return run

    def reopen(self, run: str, log: EventLog) -> int:
        """Takes up a run that did not come to its end, for this process to go on with; the step it goes on from.

        Args:
            log: of the run; gets `resumed` and keeps its time from there.

        Raises:
            RunError: it waits or trains, it is finished, or it is a recorded one.
        """
        self._writable(run)
        folder = self.path(run)
        with dispatch_lock(self.home):
            state = self.state(run)
            if state in OPEN_STATES:
                raise RunError(f"The run {run!r} is {state}.", "Stop it first, or wait for its end.")
            if state == "finished":
                raise RunError(f"The run {run!r} is finished: there is nothing to go on with.", "Start a new run.")
            claim(folder)
            forget(folder)
            step = latest_step(folder / CHECKPOINTS)
            log.append(Resumed(from_step=step))
        return step

    def path(self, run: str) -> Path:
        """The run's folder."""
        if naming.is_id(run):
            for root in (self.home, self.recorded):
                # A link that leads elsewhere is no run.
                if root and is_run(root / run) and (root / run).resolve() == root.resolve() / run:
                    return root / run
        raise naming.no_such_run(run)

    def is_recorded(self, run: str) -> bool:
        """Whether it came with the studio and cannot be changed."""
        return self.path(run).parent != self.home

    def config(self, run: str) -> dict[str, Any]:
        """config.json: what may be shared of a run's settings."""
        return read_json(self.path(run) / CONFIG)

    def run_config(self, run: str) -> RunConfig:
        """The resolved settings with the real paths of local models and corpora, for who trains it.

        Raises:
            RunError: its settings cannot be read.
        """
        folder = self.path(run)
        try:
            kept = self.config(run)
            if not kept.get("model_name"):
                raise RunError(f"The settings of {run!r} cannot be read: its {CONFIG} is damaged.", "Start a new run.")
            # Of a run by an earlier version, defaults may be left that nothing reads any more.
            values = applicable(plain_config(kept), kept.get("given") or ())
            return parse_config(with_paths(values, read_json(folder / PRIVATE)))
        except ConfigError as error:
            raise RunError(f"The settings of {run!r} cannot be used: {error.what}", "Start a new run.") from error

    def update_config(self, run: str, **values: Any) -> None:
        """Puts values into config.json, in one move; what they hold may be shared."""
        self._writable(run)
        with self._config_lock:
            path = self.path(run) / CONFIG
            write_json(path, {**read_json(path), **values})

    def metrics(self, run: str) -> dict[str, Any] | None:
        """metrics.json: the closing figures, None where the run did not get so far."""
        return read_json(self.path(run) / METRICS) or None

    def ablation(self, run: str) -> dict[str, Any] | None:
        """ablation.json: what each layer's adapter is worth, None where nobody asked yet; see `insight.ablation.record`."""
        return read_json(self.path(run) / ABLATION) or None

    def keep_ablation(self, run: str, values: dict[str, Any]) -> None:
        """Writes ablation.json, in one move.

        Raises:
            RunError: the run is a recorded one, or its folder cannot be written.
        """
        self._writable(run)
        try:
            write_json(self.path(run) / ABLATION, values)
        except OSError as error:
            raise RunError(
                f"The folder of the run {run!r} cannot be written ({error.strerror or 'unknown reason'})."
            ) from error

    def finished_adapter(self, run: str) -> Path:
        """The folder of the run's adapter, once the run has ended.

        Raises:
            RunError: it waits or trains still, or has no adapter.
        """
        state, folder = self.state(run), self.path(run) / ADAPTER
        if state in OPEN_STATES:
            raise RunError(f"The run {run!r} is {state}.", "Wait until it has ended, or stop it.")
        if not (folder / "adapter_model.safetensors").is_file():
            raise RunError(f"The run {run!r} has no adapter.", "Choose one that trained here to its end, or was stopped.")
        return folder

    # -- following ---------------------------------------------------------------------------------------------------

    def events_path(self, run: str) -> Path:
        """The run's events.jsonl."""
        return self.path(run) / EVENTS

    def read_events(
        self, run: str, offset: int = 0, limit_bytes: int = LIMIT_BYTES
    ) -> tuple[int, list[dict[str, Any]]]:
        """Events from a byte offset on, and the offset to go on from; see `log.read_from`.

        Raises:
            RunError: the offset is no whole number from 0.
        """
        if isinstance(offset, bool) or not isinstance(offset, int) or not 0 <= offset < 1 << 53:
            raise RunError("The offset must be a whole number from 0, as an earlier answer gave it.")
        return read_from(self.events_path(run), offset, max(1, limit_bytes))

    def all_events(self, run: str) -> list[dict[str, Any]]:
        """All events so far; the whole file in memory, for who needs every step at once."""
        return list(all_events(self.events_path(run)))

    def state(self, run: str) -> State:
        """queued, running, finished, stopped, failed, or lost: its process is gone and left no closing event."""
        return self._listing.state(self.path(run))

    def summary(self, run: str) -> dict[str, Any]:
        """A run in a few values, as `list` gives them."""
        return self._listing.row(self.path(run))

    def list(self) -> list[dict[str, Any]]:
        """All runs, one's own newest first, then the recorded ones; each a flat object, see `listing.Listing.row`."""
        return self._listing.rows()

    def corpora(self) -> set[str]:
        """What the runs were made on: names, ids, and paths as they are here."""
        # Read without asking whether the settings still make a run: what such a one was made on is still its.
        return {
            str(with_paths(self.config(row["run"]), read_json(self.path(row["run"]) / PRIVATE)).get("dataset_name"))
            for row in self.list()
        }

    def place(self, run: str) -> int:
        """How many runs come before it: 0 where it trains or is next."""
        return self.summary(run)["place"] or 0

    def unended(self) -> list[dict[str, Any]]:
        """Runs without a closing event, the lost ones included, in the order in which they come: rows as of `list`."""
        return self._listing.unended()

    # -- ending ------------------------------------------------------------------------------------------------------

    def request_stop(self, run: str) -> State:
        """Asks a run to stop: a waiting one is ended here and now, a training one finds the request in its folder.

        Returns:
            its state after that; one that had ended is left as it is.

        Raises:
            RunError: it is a recorded one.
        """
        self._writable(run)
        folder = self.path(run)
        with dispatch_lock(self.home):  # so that nobody starts it in between
            row = self.summary(run)
            if row["state"] not in OPEN_STATES:
                return row["state"]
            if row["claimed"]:
                ask(folder)
                return row["state"]
            EventLog(folder).append(Stopped(what="The run was cancelled before it began."))
        return self.state(run)

    def delete(self, run: str) -> None:
        """Deletes a run with its adapter.

        Raises:
            RunError: it waits, trains, or is a recorded one.
        """
        self._writable(run)
        folder = self.path(run)
        state = self.state(run)
        if state in OPEN_STATES:
            raise RunError(f"The run {run!r} is {state}.", "Stop it first, then delete it.")
        try:
            trash = Path(tempfile.mkdtemp(prefix=".trash-", dir=self.home))
            folder.rename(trash / run)
        except OSError as error:
            raise RunError(f"The run {run!r} cannot be deleted ({error.strerror or 'unknown reason'}).") from error
        shutil.rmtree(trash, ignore_errors=True)
        self._listing.forget(folder)

    def sweep(self) -> None:
        """Removes what a process that died in the middle of `create` or `delete` left behind."""
        for pattern in (".new-*", ".trash-*"):
            for folder in self.home.glob(pattern):
                try:
                    old = time.time() - folder.stat().st_mtime > SCRATCH_SECONDS
                except OSError:
                    continue
                if old:
                    shutil.rmtree(folder, ignore_errors=True)

    def zip_adapter(self, run: str, out: Path) -> Path:
        """The run's adapter as a ZIP: `out`, or `RUN-adapter.zip` in the folder `out`.

        Raises:
            RunError: it has no adapter.
        """
        folder = self.path(run) / ADAPTER
        files = sorted(p for p in folder.glob("**/*") if p.is_file() and not p.is_symlink())
        if not files:
            raise RunError(f"The run {run!r} has no adapter.", "Only a run that trained has one.")
        out = out / f"{run}-adapter.zip" if out.is_dir() else out
        scratch = out.with_name(f".{out.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        # Weights hardly shrink, so they are only put together.
        with zipfile.ZipFile(scratch, "w", zipfile.ZIP_STORED) as archive:
            for path in files:
                archive.write(path, f"{run}/{path.relative_to(folder).as_posix()}")
        scratch.replace(out)
        return out

    def _writable(self, run: str) -> None:
        if self.is_recorded(run):
            raise RunError(f"The run {run!r} is a recorded one that came with the studio: it can only be looked at.")
