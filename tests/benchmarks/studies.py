"""Which runs a comparison is made of: plain data. Knows neither how a run is made nor what it gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from irtuning.catalogue import STEADY

Job = dict[str, Any]
"""{"name", "arm", "config" (RunConfig fields), "limit" (steps, 0: all)}; perhaps "threads" and "in_turns"."""

HALF: dict[str, Any] = {**STEADY, "settle_after": 0.5, "budget": 0.27}
METHODS: dict[str, dict[str, Any]] = {
    "all layers": {"tuning_method": "full"},
    "the paper's rule": {},
    "steady": STEADY,
}
CANDIDATES: dict[str, dict[str, Any]] = {
    **METHODS,
    "a larger budget": {**STEADY, "budget": 0.7},
    "settling later on less": {**STEADY, "settle_after": 0.3, "budget": 0.4},
    "settling after a third": {**STEADY, "settle_after": 0.33, "budget": 0.5},
    "settling at half": HALF,
    "settling at half, a higher rate": {**HALF, "learning_rate": 1.5e-3},
    "steady, a higher rate": {**STEADY, "learning_rate": 1.5e-3},
    "all layers, a higher rate": {"tuning_method": "full", "learning_rate": 1.5e-3},
    "nothing kept": {**STEADY, "cache_prefix": False},
    "measured every 10": {"refresh_every": 10},
    "relative to own mean": {"relative_to": "own-mean", "refresh_every": 10},
    "a fifth explored": {"explore": 0.2},
    "whole steps between": {"budget": 0.75},
    "blocks": {"selection_unit": "block"},
    "modules": {"selection_unit": "module"},
}
OWN: dict[str, dict[str, Any]] = {"smollm2-135m": {"num_train_epochs": 3.0, "learning_rate": 1e-3}}
"""What a model's runs have in every study: the corpus is larger than the one its defaults were made for."""


def _config(model: str, corpus: str, seed: int, values: dict[str, Any]) -> dict[str, Any]:
    return {"model_name": model, "dataset_name": corpus, "seed": seed, **OWN.get(model, {}), **values}


def _jobs(methods: dict[str, dict[str, Any]], model: str, corpus: str, seeds: list[int]) -> list[Job]:
    return [
        {"name": name, "arm": "ours", "limit": 0, "config": _config(model, corpus, seed, values)}
        for seed in seeds
        for name, values in methods.items()
    ]


def quality(model: str, corpus: str, seeds: list[int]) -> list[Job]:
    """All layers, the paper's rule and the steady setting, over seeds."""
    return _jobs(METHODS, model, corpus, seeds)


def plain(model: str, corpus: str, seeds: list[int]) -> list[Job]:
    """The same beside plain Trainer and peft on all layers, whole runs: whether anything is lost against those."""
    rival = {"name": "plain Trainer and peft", "arm": "plain", "limit": 0}
    jobs = [{**rival, "config": _config(model, corpus, seed, {"tuning_method": "full"})} for seed in seeds]
    return jobs + quality(model, corpus, seeds)


def search(model: str, corpus: str, seeds: list[int]) -> list[Job]:
    """Candidates for the steady setting, to be judged by validation alone, and the units beside them."""
    return _jobs(CANDIDATES, model, corpus, seeds)


def speed(model: str, corpus: str, seeds: list[int]) -> list[Job]:
    """Ours beside the reference's way and plain Trainer, in the numbers each is run in and in the same ones.

    The steady setting is run whole, as its cost changes in the course of a run; the others as many steps as tell theirs.
    """
    few = {"minilm": 120}.get(model, 30)

    def job(name: str, arm: str, values: dict[str, Any], limit: int) -> Job:
        return {"name": name, "arm": arm, "limit": limit, "config": _config(model, corpus, seeds[0], values)}

    single = {"dtype": "float32", "tuning_method": "full"}
    return [
        job("ours, steady", "ours", STEADY, 0),
        job("ours, the paper's rule", "ours", {}, few),
        job("ours, all layers", "ours", {"tuning_method": "full"}, few),
        job("plain, same numbers", "plain", {"tuning_method": "full"}, few),
        job("plain, float32", "plain", single, few),
        job("reference's way", "reference", {**single, "lora_dropout": 0.05}, 20),
    ]


STUDIES: dict[str, Callable[[str, str, list[int]], list[Job]]] = {"quality": quality, "plain": plain, "search": search, "speed": speed}
