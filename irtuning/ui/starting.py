"""What happens between a click on Start and a run in the queue: the checks that spare a failing start.

Builds no component. Two clicks in a row make one run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.errors import ConfigError, ModelError
from irtuning.hub import hub_answers
from irtuning.insight.machine import model_here
from irtuning.revisions.corpora import Columns
from irtuning.tuning.methods import refuse_unfit
from irtuning.ui.corpus import sizes_of
from irtuning.ui.form import as_labelled
from irtuning.ui.limits import refuse_large, refuse_when_full, strict
from irtuning.ui.presets import BRING_SMOLLM2, cannot
from irtuning.ui.studio import Studio
from irtuning.ui.words import plural

DOUBLE_CLICK_SECONDS = 2.0


class Starter:
    """Starts runs for visitors.

    Args:
        studio: whose launcher gets the runs.
        clock: seconds, going forward.
        hub_answers: whether the hub can be reached; asked only where a model has to come from there.
    """

    def __init__(
        self, studio: Studio, clock: Callable[[], float] = time.monotonic, hub_answers: Callable[[], bool] = hub_answers
    ) -> None:
        self._studio, self._clock = studio, clock
        self._hub_answers = hub_answers
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, RunConfig, str]] = {}

    def where(self, model: str | None) -> str | None:
        """Where a catalogue model lies on this machine; None if it has to be fetched."""
        return model_here(model or "", self._clock())

    def start(
        self, config: RunConfig, preset: str, *, visitor: str, own_corpus: bool = False
    ) -> tuple[str, str]:
        """Puts a run into the queue.

        Args:
            preset: name of the preset it starts from, or empty. visitor: tells one visitor's clicks from another's.
            own_corpus: the corpus is a file that the visitor uploaded.

        Returns:
            (the run's id, what to tell: empty where it starts at once).

        Raises:
            StudioError: it cannot run here.
        """
        try:
            taken = self._checked(config, preset, own_corpus)
        except ConfigError as error:
            raise as_labelled(error) from None
        with self._lock:
            now = self._clock()
            before = self._last.get(visitor)
            if before and now - before[0] < DOUBLE_CLICK_SECONDS and before[1] == config:
                return before[2], ""
            admit = None if self._studio.paths_allowed() else refuse_when_full
            given = self._studio.launcher.submit(taken, preset or None, admit=admit)
            self._last = {who: last for who, last in self._last.items() if now - last[0] < DOUBLE_CLICK_SECONDS}
            self._last[visitor] = (now, config, given["run"])
        place = given["place"]
        return given["run"], f"it waits, {plural(place, 'run')} before it." if place else ""

    def _checked(self, config: RunConfig, preset: str, own_corpus: bool) -> RunConfig:
        machine = self._studio.probe.known()
        free = self._studio.paths_allowed()
        if preset and machine and (reason := cannot(catalogue.PRESETS[preset], machine, free=free, request=config)):
            by_memory = free and machine.device != "cpu"
            small = " or ".join(catalogue.MODELS[name].title for name in catalogue.EMBEDDED)
            raise ConfigError(
                f"{catalogue.PRESETS[preset].title}: {reason}.",
                "Take fewer tokens per micro-batch, 4 bit, or a smaller model." if by_memory else f"Choose {small}.",
            )
        if not free:
            # A file that was uploaded is the visitor's own; in all else a public host takes what its endpoints take.
            name = catalogue.DEFAULT_CORPUS if own_corpus else config.dataset_name
            taken = strict(config.model_copy(update={"dataset_name": name}))
            config = taken.model_copy(update={"dataset_name": config.dataset_name})
        columns = Columns(config.before_column, config.after_column, config.label_column, config.doc_column)
        resolved = config.resolve()
        refuse_unfit(resolved)
        sizes = sizes_of(resolved.dataset_name or "", columns, use_instruction=bool(resolved.use_instruction))
        if own_corpus and not free:
            refuse_large(sizes)
        entry = catalogue.MODELS.get(config.model_name or "")
        if entry and entry.gguf_file and self.where(entry.name) is None and not self._hub_answers():
            raise ModelError(
                f"{entry.title} is not on this machine and the hub does not answer.", f"Bring it with: {BRING_SMOLLM2}"
            )
        return config
