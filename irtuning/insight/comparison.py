"""Comparison: two to six runs side by side, what they chose, what they cost, and over seeds how sure that is. Pure; plain values out.

Knows neither stores nor pages. A run of blocks or modules is compared with one of layers by the layers that they lie in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from irtuning.config import RunConfig
from irtuning.errors import ConfigError, RunError
from irtuning.insight.history import RunHistory
from irtuning.insight.overlap import by_layer, frequencies, stepwise, successive, weighted_jaccard
from irtuning.insight.price import Price, price_of, ratios
from irtuning.insight.stability import Repeat, stability

FEWEST, MOST = 2, 6
SCORES = ("accuracy", "macro_f1", "weighted_f1", "au_prc")
_NO_MATTER = {"seed", "logging_steps", "save_steps", "report_to"}
"""Settings in which runs of one setting may differ."""


@dataclass(frozen=True)
class Subject:
    """One run to compare.

    Attributes:
        run: its name. config: as config.json has it. events: all of them, as plain objects.
        metrics: of the network on the test part, None where it was not scored.
    """

    run: str
    config: Mapping[str, Any]
    events: Sequence[dict[str, Any]]
    metrics: Mapping[str, Any] | None

    @cached_property
    def history(self) -> RunHistory:
        """Its events, folded."""
        history = RunHistory()
        history.feed(self.events)
        return history

    @property
    def selections(self) -> list[tuple[int, ...]]:
        """What each step trained, units from 0."""
        return [tuple(np.flatnonzero(row).tolist()) for row in self.history.selected]

    @property
    def layers(self) -> int:
        """Layers of the model, whatever the unit of selection."""
        return int(self.history.header.get("layers") or self.history.layers)

    @property
    def layer_selections(self) -> list[tuple[int, ...]]:
        """What each step trained, layers from 0."""
        return by_layer(self.selections, self.history.owners)


def trained_shares(subject: Subject) -> list[float]:
    """Share of the run's steps in which each layer, or a part of it, trained, 0 to 1; shape (layers,)."""
    return frequencies(subject.layer_selections, subject.layers).tolist()


def compare(subjects: Sequence[Subject]) -> dict[str, Any]:
    """Two to six runs side by side.

    Returns:
        Plain values:
        runs: a list of {"run", "model", "corpus", "method", "metric", "seed", "device", "layers", "metrics" (or None),
        "price" (see price.Price), "reference" (the run its price is set against, None where none has its model, corpus and
        device: the first with method full, else the first), "ratios" (price / the reference's, or None), "successive"
        (overlap of each step's selection with the next one's)};
        overlap: for each pair {"runs", "stepwise", "frequency"}, both by layer, None where the models differ;
        stability: for each setting of which there are two seeds or more, see stability.Stability.

    Raises:
        ConfigError: there are fewer than two runs, more than six, or one twice. RunError: a run made no step.
    """
    names = [subject.run for subject in subjects]
    if not FEWEST <= len(names) <= MOST:
        raise ConfigError(f"A comparison takes {FEWEST} to {MOST} runs, not {len(names)}.")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"The run {twice!r} is named twice.", "Name each run once.")
    for subject in subjects:
        if not len(subject.history):
            raise RunError(f"The run {subject.run!r} has made no step.", "Compare runs that trained.")
    prices = {subject.run: price_of(subject.history) for subject in subjects}
    return {
        "runs": [_row(subject, subjects, prices) for subject in subjects],
        "overlap": [_overlap(one, other) for one, other in combinations(subjects, 2)],
        "stability": [_stability(group) for group in same_settings(subjects)],
    }


def same_settings(subjects: Sequence[Subject]) -> list[list[Subject]]:
    """Groups of two runs or more with equal settings but for their seeds, each seed once."""
    groups: dict[str, dict[Any, Subject]] = {}
    for subject in subjects:
        settings = {name: subject.config.get(name) for name in RunConfig.model_fields if name not in _NO_MATTER}
        kin = [settings, _corpus(subject), subject.config.get("weights")]
        groups.setdefault(json.dumps(kin, sort_keys=True), {}).setdefault(subject.config.get("seed"), subject)
    return [list(group.values()) for group in groups.values() if len(group) > 1]


def _row(subject: Subject, subjects: Sequence[Subject], prices: Mapping[str, Price]) -> dict[str, Any]:
    config, mine = subject.config, prices[subject.run]
    reference = _reference(subject, subjects)
    return {
        "run": subject.run,
        "model": config.get("model_name"),
        "corpus": config.get("dataset_name"),
        "method": config.get("tuning_method"),
        "metric": config.get("importance_metric_name"),
        "seed": config.get("seed"),
        "device": subject.history.header.get("device"),
        "layers": subject.layers,
        "metrics": {name: subject.metrics.get(name) for name in SCORES} if subject.metrics else None,
        "price": mine.to_dict(),
        "reference": reference.run if reference else None,
        "ratios": ratios(mine, prices[reference.run]) if reference else None,
        "successive": successive(subject.selections),
    }


def _reference(subject: Subject, subjects: Sequence[Subject]) -> Subject | None:
    kin = [other for other in subjects if _setting_of_cost(other) == _setting_of_cost(subject)]
    full = [other for other in kin if other.config.get("tuning_method") == "full"]
    return (full or kin)[0] if len(kin) > 1 else None


def _setting_of_cost(subject: Subject) -> tuple[Any, ...]:
    return subject.config.get("model_name"), _corpus(subject), subject.history.header.get("device")


def _corpus(subject: Subject) -> Any:
    """The corpus by its fingerprint, by its name where a run does not know that."""
    return (subject.config.get("corpus") or {}).get("fingerprint") or subject.config.get("dataset_name")


def _overlap(one: Subject, other: Subject) -> dict[str, Any]:
    alike = one.layers == other.layers and one.config.get("model_name") == other.config.get("model_name")
    return {
        "runs": [one.run, other.run],
        "stepwise": stepwise(one.layer_selections, other.layer_selections) if alike else None,
        "frequency": weighted_jaccard(trained_shares(one), trained_shares(other)) if alike else None,
    }


def _stability(group: Sequence[Subject]) -> dict[str, Any]:
    return stability([Repeat(s.run, s.history.layers, s.selections, s.metrics or {}) for s in group]).to_dict()
