"""The endpoints for scripts: /classify, /start_run, /stop_run, /run_events, /list_runs. Plain JSON in and out.

Every argument is checked here, as anybody can send anything. Errors are one sentence; nobody's text is ever logged.
"""

from __future__ import annotations

import logging
import secrets
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import gradio as gr

from irtuning.config import RunConfig, parse_config
from irtuning.errors import AdapterError, ConfigError, RevisionError, RunError, StudioError
from irtuning.revisions.encoding import check_pair
from irtuning.runs.launch import LocalLauncher
from irtuning.runs.store import RunStore
from irtuning.ui.host import local_paths_allowed
from irtuning.ui.limits import refuse_when_full, strict

LONGEST_NAME = 500
"""Characters in a name of a model, a corpus, a column or an adapter."""
LONGEST_TEXT = 4000
"""Characters in any other setting, e.g. an instruction."""
_log = logging.getLogger(__name__)


class Classifies(Protocol):
    """What tells the intention of a pair."""

    def classify(self, before: str, after: str, adapter: str = "") -> dict[str, Any]:
        """{"label", "probabilities", "adapter", "abstained"}."""


class Endpoints:
    """What scripts can ask for.

    Args:
        store, launcher: where runs live and who starts them.
        classifier: tells the intention of a pair.
        paths_allowed: whether this is the visitor's own machine; asked at every call.
    """

    def __init__(
        self, store: RunStore, launcher: LocalLauncher, classifier: Classifies, paths_allowed: Callable[[], bool]
    ) -> None:
        self._store, self._launcher, self._classifier = store, launcher, classifier
        self._paths_allowed = paths_allowed

    def classify(self, before: str, after: str, adapter: str = "") -> dict:
        """Tells why a text was revised. One text may be empty: an addition or a deletion.

        Parameters:
            before: the text before the revision, at most 20,000 characters.
            after: the text after it.
            adapter: an adapter in checkpoints/ or a run's id; the one that comes with the app where empty.

        Returns:
            label (the most probable intention), probabilities (intention -> probability), adapter, abstained.
        """
        with _told():
            if not isinstance(before, str) or not isinstance(after, str):
                raise RevisionError("Both sides of a revision must be texts.", "An empty one is ''.")
            name = _name(adapter, "adapter", AdapterError)
            check_pair(before, after)
            if not self._paths_allowed() and ("/" in name or "\\" in name or name.startswith((".", "~"))):
                raise AdapterError("On this host an adapter is chosen by its name.", "Choose one of the list.")
            return self._classifier.classify(before, after, name)

    def start_run(self, config: dict) -> dict:
        """Puts a run into the queue.

        Parameters:
            config: an object with RunConfig's fields, all optional, e.g. {"model_name": "minilm", "max_steps": 50}.

        Returns:
            run (its id), place (how many runs come before it; 0: it starts at once), owner (a token; nothing asks for it yet).
        """
        with _told():
            request = checked_request(config, paths_allowed=self._paths_allowed())
            owner = secrets.token_urlsafe(18)
            admit = None if self._paths_allowed() else refuse_when_full
            return {**self._launcher.submit(request, owner=owner, admit=admit), "owner": owner}

    def stop_run(self, run_id: str, owner: str = "") -> dict:
        """Cancels a waiting run, or asks a training one to stop; its adapter so far is kept.

        Parameters:
            run_id: the run's id.
            owner: the token that start_run gave, or empty: everybody can stop every run.

        Returns:
            run, state (one that trains is still `running` until it has saved its adapter).
        """
        with _told():
            _name(owner, "owner", RunError)
            return {"run": run_id, "state": self._launcher.stop(run_id)}

    def run_events(self, run_id: str, offset: int = 0) -> dict:
        """What happened in a run from an offset on, 1 MiB at most. Ask again with the offset of the answer.

        Parameters:
            run_id: the run's id.
            offset: bytes, as the last answer gave it; 0 for the beginning. An answer with a smaller offset begins anew.

        Returns:
            offset (to go on from), events, state (queued, running, finished, stopped, failed, lost).
        """
        with _told():
            # The state first: once it is a closed one, every event is on disk already.
            state = self._store.state(run_id)
            after, events = self._store.read_events(run_id, offset)
            return {"offset": after, "events": events, "state": state}

    def list_runs(self) -> dict:
        """Lists the runs, newest first, then the recorded ones that came with the app.

        Returns:
            runs: each with run, name, state, model, corpus, method, started, metrics (or null), recorded, and more.
        """
        with _told():
            return {"runs": self._store.list()}


def attach(
    store: RunStore,
    launcher: LocalLauncher,
    classifier: Classifies,
    paths_allowed: Callable[[], bool] = local_paths_allowed,
) -> Endpoints:
    """Registers the endpoints in the current gr.Blocks context."""
    endpoints = Endpoints(store, launcher, classifier, paths_allowed)
    # One pair at a time: a model uses all cores by itself.
    gr.api(endpoints.classify, api_name="classify", concurrency_limit=1, concurrency_id="classify-api")
    for serve in (endpoints.start_run, endpoints.stop_run, endpoints.run_events, endpoints.list_runs):
        gr.api(serve, api_name=serve.__name__, concurrency_limit=None)
    return endpoints


def checked_request(config: Any, *, paths_allowed: bool) -> RunConfig:
    """A request from outside as a RunConfig; on a public host with names and sizes that it takes.

    Raises:
        ConfigError: a field is unknown or cannot be right, or this host does not take it.
    """
    if config is None:
        config = {}
    if not isinstance(config, dict) or not all(isinstance(name, str) for name in config):
        raise ConfigError("A run's settings must be an object of names and values.", 'For example {"max_steps": 50}.')
    for name, value in config.items():
        if name not in RunConfig.model_fields:
            raise ConfigError(f"A run has no setting called {name[:40]!r}.", "See RunConfig for those that it has.")
        if isinstance(value, str) and name.endswith(("_name", "_column")):
            _name(value, name.replace("_", " "), ConfigError)
        elif isinstance(value, str):
            if len(value) > LONGEST_TEXT or "\0" in value:
                what = name.replace("_", " ").capitalize()
                raise ConfigError(f"{what}: a text of at most {LONGEST_TEXT:,} characters, none of them NUL, is taken.")
        elif value is not None and not isinstance(value, bool | int | float):
            raise ConfigError(f"The setting {name!r} takes one value, no list and no object.")
    request = parse_config(config)
    return request if paths_allowed else strict(request)


@contextmanager
def _told() -> Iterator[None]:
    """Errors for people go out as their sentence; others as a plain one, with their place in the code to the log."""
    try:
        yield
    except StudioError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except Exception as error:
        # Neither the message nor the values: they can hold what somebody wrote.
        _log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        raise gr.Error(
            "Something went wrong here. Try again; the server's log says where it happened.", print_exception=False
        ) from None


def _name(value: Any, what: str, error: type[StudioError]) -> str:
    if not isinstance(value, str):
        raise error(f"The {what} must be a text.")
    if len(value) > LONGEST_NAME or "\0" in value:
        raise error(f"The {what} is no name.", f"A name has at most {LONGEST_NAME} characters.")
    return value
