"""The commands below `python -m irtuning runs`: list, stop, delete, ablate, compare, steps. Thin: what they tell others work out.

Everything heavy is loaded when a command needs it.
"""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any

from cyclopts import App, Parameter

from irtuning.errors import ConfigError, RunError
from irtuning.paths import existing

runs_app = App(name="runs", help="The runs of the store: list, stop, delete, ablate, compare, steps.")


@runs_app.command(name="list")
@runs_app.default
def list_runs(*, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """List the runs, newest first.

    Parameters
    ----------
    json
        Answer as JSON.
    """
    runs = open_store().list()
    if json:
        print(jsonlib.dumps({"runs": runs}, ensure_ascii=False))
    for run in [] if json else runs:
        score = run["metrics"]["macro_f1"] if run.get("metrics") else None
        print(
            f"{run['run']:24} {run['state']:9} {run['model'] or '':14} {run['corpus'] or '':16} "
            f"{'' if score is None else f'macro-F1 {score:.3f}'}"
        )
    return 0


@runs_app.command
def stop(run: str) -> int:
    """Ask a run to stop; its adapter so far is kept.

    Parameters
    ----------
    run
        An id, or a run's folder.
    """
    from irtuning.runs.status import OPEN_STATES

    store, run = find_run(run)
    state = store.request_stop(run)
    print(f"{run} was asked to stop." if state in OPEN_STATES else f"{run} is {state}.")
    return 0


@runs_app.command
def delete(run: str) -> int:
    """Delete a run that is not running, with its adapter.

    Parameters
    ----------
    run
        An id, or a run's folder.
    """
    store, run = find_run(run)
    store.delete(run)
    print(f"{run} is deleted.")
    return 0


@runs_app.command
def ablate(run: str, *, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Switch each layer's adapter off in turn: how loss and macro-F1 on the validation part change. Kept as ablation.json.

    Parameters
    ----------
    run
        An id, or a run's folder.
    json
        Answer as JSON.
    """
    from irtuning.classify import Classifier
    from irtuning.insight.ablation import ablate as switch_off
    from irtuning.insight.ablation import corpus_again, record
    from irtuning.insight.comparison import trained_shares
    from irtuning.runs.tables import ablation_lines
    from irtuning.tuning.card import read_origin

    store, run = find_run(run)
    folder = store.finished_adapter(run)
    corpus = corpus_again(store.run_config(run), read_origin(folder).corpus_fingerprint)
    found = switch_off(Classifier(folder), corpus.validation)
    answer = record(run, corpus.name, found, trained_shares(_subject(store, run)))
    print(jsonlib.dumps(answer, ensure_ascii=False) if json else "\n".join(ablation_lines(answer)))
    if not store.is_recorded(run):
        store.keep_ablation(run, answer)
    return 0


@runs_app.command
def compare(*runs: str, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Set two to six runs side by side: which layers they trained, what that cost, what they scored.

    Parameters
    ----------
    runs
        Ids, or runs' folders; those that differ in their seed alone are also taken together.
    json
        Answer as JSON.
    """
    from irtuning.insight.comparison import compare as side_by_side
    from irtuning.runs.tables import comparison_lines

    answer = side_by_side([_subject(*find_run(run)) for run in runs])
    print(jsonlib.dumps(answer, ensure_ascii=False) if json else "\n".join(comparison_lines(answer)))
    return 0


@runs_app.command
def steps(
    run: str, *, first: int = 1, count: int = 10, json: Annotated[bool, Parameter(negative=())] = False
) -> int:
    """Print steps one by one, scores and choices unrounded enough to check them by hand against the method.

    Parameters
    ----------
    run
        An id, or a run's folder.
    first
        The first step to print.
    count
        How many steps.
    json
        Answer as JSON, with all digits.
    """
    from irtuning.insight.explain import step_by_step
    from irtuning.insight.history import RunHistory
    from irtuning.runs.tables import step_lines

    if first < 1 or count < 1:
        raise ConfigError("Steps are counted from 1.", "Give --first and --count 1 or more.")
    store, run = find_run(run)
    history = RunHistory()
    history.feed(store.all_events(run))
    there = [int(step) for step in history.steps if first <= step < first + count]
    if not there:
        raise RunError(f"The run {run!r} has no step {first}.", f"It made {len(history)}.")
    answer = step_by_step(history, store.config(run), there)
    print(jsonlib.dumps({"run": run, "steps": answer}) if json else "\n".join(step_lines(answer)))
    return 0


def find_run(name: str) -> tuple[Any, str]:
    """The store and the id of a run, named by its id or by its folder."""
    from irtuning.runs.listing import is_run
    from irtuning.runs.store import RECORDED, RunStore

    folder = existing(name)
    if folder is None or not is_run(folder):
        return open_store(), name
    folder = folder.resolve()
    return (open_store() if folder.parent == RECORDED else RunStore(folder.parent)), folder.name


def _subject(store: Any, run: str) -> Any:
    from irtuning.insight.comparison import Subject

    metrics = (store.metrics(run) or {}).get("network")
    return Subject(run, store.config(run), store.all_events(run), metrics)


def open_store() -> Any:
    from irtuning.runs.store import RECORDED, RunStore

    return RunStore.default(recorded=RECORDED)
