"""From a run's choices to its policy: one place that knows all of them by name."""

from __future__ import annotations

import math
from collections.abc import Callable

from irtuning.catalogue import MODELS
from irtuning.combinations import WHOLE_EVERY, named_units
from irtuning.config import RunConfig
from irtuning.errors import ConfigError
from irtuning.tuning.budget import BudgetPolicy, SettledPolicy, StepCost, least_share
from irtuning.tuning.ist import ISTPolicy
from irtuning.tuning.policies import (
    DrawnPolicy,
    FixedPolicy,
    FullPolicy,
    Policy,
    ScoredPolicy,
    Stack,
    TopKPolicy,
    share_of,
)
from irtuning.tuning.refinements import Exploring, Refreshed, Relative
from irtuning.tuning.selection import Metric
from irtuning.tuning.variance import IRPolicy

RST_SHARE, LISA_SHARE, TOP_SHARE = 1 / 8, 1 / 8, 1 / 2
"""Units that train in a step where no count is given, at least one."""


def make_policy(config: RunConfig, stack: Stack) -> Policy:
    """The policy of a resolved config.

    Raises:
        ConfigError: a unit is named that the model does not have, or more are asked for than there are.
    """
    count = config.layer_count
    if count is not None and count > stack.units:
        raise ConfigError(
            f"There are {stack.units} units to choose from, not {count}.", f"Set the layer count to {stack.units} or less."
        )
    return MAKERS[config.tuning_method](config, stack)


def refuse_unfit(config: RunConfig) -> None:
    """Refuses early what `make_policy` would refuse once the model stands, where the catalogue knows its layers.

    Args:
        config: resolved.

    Raises:
        ConfigError: as `make_policy` does.
    """
    entry = MODELS.get(config.model_name or "")
    if entry and config.selection_unit == "layer":
        make_policy(config, Stack.plain(entry.layers))


def named_policy(method: str, metric: Metric = "gradient") -> Callable[[Stack], Policy]:
    """A method by its name, with its own defaults and the training's seed, for scripts that have no RunConfig.

    Raises:
        ValueError: there is no such method, or it needs to be told more.
    """
    names = [name for name in MAKERS if name != "fixed"]
    if method not in names:
        raise ValueError(f"policy must be one of {', '.join(names)} or a function, not {method!r}")
    config = RunConfig(tuning_method=method, importance_metric_name=metric).resolve()
    return lambda stack: make_policy(config.model_copy(update={"seed": config.seed if stack.seed is None else stack.seed}), stack)


def _ir(config: RunConfig, stack: Stack) -> Policy:
    seed = config.seed
    if config.budget is not None:
        cost = StepCost(stack.depth, stack.layers, cached=bool(config.cache_prefix and config.settle_after))
        if config.settle_after:
            _reachable(config.budget, least_share(cost))
            steps = round(config.settle_after * stack.steps)
            return _refined(config, stack, SettledPolicy(cost, share=config.budget, steps=steps, seed=seed), refresh=0)
        every = config.refresh_every or WHOLE_EVERY
        _reachable(
            config.budget, least_share(cost, every),
            f"measure all more rarely than every {every} steps (refresh every)", "settle (settle after)",
        )
        return _refined(config, stack, BudgetPolicy(cost, share=config.budget, whole_every=every, seed=seed), refresh=0)
    inner = IRPolicy(
        stack.units,
        metric=config.importance_metric_name,
        splits=config.split_num,
        boundary=config.boundary,
        seed=seed,
    )
    return _refined(config, stack, inner, refresh=config.refresh_every or 0)


def _reachable(budget: float, least: float, *otherwise: str) -> None:
    if budget < least:
        enough = math.ceil(100 * least) / 100
        ways = [f"set the budget to {enough:g} or more" if enough < 1 else "train it without a budget", *otherwise]
        raise ConfigError(
            f"A budget of {budget:g} cannot be kept: a step of this model takes {least:.2f} of a full one at least.",
            f"{', or '.join(ways).capitalize()}.",
        )


def _top_k(config: RunConfig, stack: Stack) -> Policy:
    count = config.layer_count or share_of(stack.units, TOP_SHARE)
    metric = config.importance_metric_name
    inner = TopKPolicy(stack.units, count=count, metric=metric, seed=config.seed)
    return _refined(config, stack, inner, refresh=config.refresh_every or 0)


def _refined(config: RunConfig, stack: Stack, inner: ScoredPolicy, *, refresh: int) -> Policy:
    policy: Policy = inner
    if config.relative_to == "parameters" and stack.units > 1 and len(set(stack.parameters)) == 1:
        raise ConfigError(
            f"Each {config.selection_unit} of this model has as many adapter parameters: scores relative to them rank as without.",
            "Choose a finer selection unit, or leave relative to out.",
        )
    if config.relative_to not in (None, "nothing"):
        divisors = {
            "own-mean": lambda: None,
            "weight-norm": stack.weight_norms,
            "parameters": lambda: stack.parameters,
        }[config.relative_to]()
        policy = Relative(inner, stack.units, divisors)
    if config.explore:
        policy = Exploring(policy, stack.units, config.explore, seed=config.seed)
    return Refreshed(policy, stack.units, refresh) if refresh else policy


def _rst(config: RunConfig, stack: Stack) -> Policy:
    return DrawnPolicy(stack.units, count=config.layer_count or share_of(stack.units, RST_SHARE), seed=config.seed)


def _lisa(config: RunConfig, stack: Stack) -> Policy:
    count = config.layer_count or share_of(stack.units, LISA_SHARE)
    return DrawnPolicy(stack.units, count=count, interval=config.lisa_interval, seed=config.seed)


def _ist(config: RunConfig, stack: Stack) -> Policy:
    return ISTPolicy(stack.units, count=config.layer_count, seed=config.seed)


def _fixed(config: RunConfig, stack: Stack) -> Policy:
    units = named_units(config.layers or "")
    if beyond := [u for u in units if u >= stack.units]:
        raise ConfigError(
            f"There is no unit {beyond[0]}: this model has {stack.units}, counted from 0.",
            f"Name units from 0 to {stack.units - 1}.",
        )
    return FixedPolicy(units)


MAKERS: dict[str, Callable[[RunConfig, Stack], Policy]] = {
    "ir": _ir,
    "rst": _rst,
    "ist": _ist,
    "full": lambda config, stack: FullPolicy(stack.units),
    "lisa": _lisa,
    "top-k": _top_k,
    "fixed": _fixed,
}
"""Method -> how its policy is made."""
