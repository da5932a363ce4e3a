"""The command line: `python -m irtuning train | classify | evaluate | runs`.

Flags of `train` derive from RunConfig. Exit status: 0; 1 the command failed, with one sentence of why; 2 a wrong argument;
130 interrupted. With --json the last line of standard output is one JSON object; everything else goes to standard error.
"""

from __future__ import annotations

import csv
import json as jsonlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import App, Parameter
from pydantic import ValidationError

from irtuning.config import RunConfig, explain
from irtuning.errors import ConfigError, StudioError

Flags = Annotated[RunConfig, Parameter(name="*")]
NOTHING_GIVEN = RunConfig()

app = App(
    name="python -m irtuning",
    help="Tell why a text was revised: train on the layers that matter, classify, evaluate.",
    version_flags=[],
)
runs_app = App(name="runs", help="The runs of the store: list, stop, delete.")
app.command(runs_app)


@app.command
def train(
    config: Flags = NOTHING_GIVEN,
    *,
    preset: Literal["thirty-seconds", "real-llm", "paper"] | None = None,
    output_dir: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Train an adapter and score it on held-out documents.

    Parameters
    ----------
    preset
        A starting point; flags that are given win over it.
    output_dir
        Make the run's folder inside this one instead of the store's.
    json
        End with one JSON object on standard output.
    """
    from irtuning.runs.store import EventLog, RunStore
    from irtuning.runs.terminal import Terminal
    from irtuning.runs.worker import work

    store = RunStore(output_dir) if output_dir else RunStore.default()
    run = store.create(config, preset=preset)
    folder = store.path(run)
    terminal = Terminal(run, every=store.run_config(run).logging_steps or 10, out=sys.stderr if json else sys.stdout)
    log = EventLog(folder, also=terminal.take)
    status = work(folder, log=log, waiting=terminal.waits)
    closing = terminal.close(folder)
    if json and status == 0:
        print(jsonlib.dumps({"run": run, "run_dir": str(folder), "adapter_dir": str(folder / "adapter"), **closing}))
    return status


@app.command
def classify(
    *,
    adapter: str = "",
    before: str | None = None,
    after: str | None = None,
    file: Path | None = None,
    output: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Tell the intention of one revision, or of every row of a file.

    Parameters
    ----------
    adapter
        A folder in checkpoints/, a run's id or a path; the shipped adapter by default.
    before
        The text before the revision; '' for an addition.
    after
        The text after the revision; '' for a deletion.
    file
        A .jsonl, .csv or .tsv file with the columns before and after.
    output
        Where to write the file's rows with their labels: .jsonl, or .csv.
    json
        Answer as JSON.
    """
    from irtuning.classify import refuse_unnamed
    from irtuning.revisions.corpora import read_rows

    if file is None:
        pair = refuse_unnamed(before, after)
        name, classifier = _open_adapter(adapter)
        answer = classifier.classify(*pair)
        answer = {"label": answer["label"], "probabilities": answer["probabilities"], "adapter": name, **answer}
        if json:
            print(jsonlib.dumps(answer, ensure_ascii=False))
        else:
            for label, p in sorted(answer["probabilities"].items(), key=lambda item: -item[1]):
                print(f"{p:6.1%}  {label}")
            if "notice" in answer:
                print(answer["notice"], file=sys.stderr)
        return 0
    if before is not None or after is not None:
        raise ConfigError("Give either --file or a pair, not both.")
    rows = read_rows(file)
    name, classifier = _open_adapter(adapter)
    answers = classifier.classify_many([(r.before, r.after) for r in rows])
    table = [
        {
            "before": r.before,
            "after": r.after,
            "label": a["label"],
            "probability": round(max(a["probabilities"].values()), 6),
        }
        for r, a in zip(rows, answers, strict=True)
    ]
    _write_table(table, output, json)
    return 0


@app.command
def evaluate(
    *,
    dataset_name: str,
    adapter: str = "",
    before_column: str | None = None,
    after_column: str | None = None,
    label_column: str | None = None,
    doc_column: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Score an adapter on a corpus: the test part of a folder or of the file it was trained on, else the whole file.

    Parameters
    ----------
    dataset_name
        A catalogue name, a hub id, or a local folder or file.
    adapter
        A folder in checkpoints/, a run's id or a path; the shipped adapter by default.
    json
        Answer as JSON.
    """
    from irtuning.classify import evaluate as evaluate_adapter
    from irtuning.revisions.corpora import Columns

    name, classifier = _open_adapter(adapter)
    answer = evaluate_adapter(classifier, dataset_name, Columns(before_column, after_column, label_column, doc_column))
    if json:
        print(jsonlib.dumps({"adapter": name, **answer}, ensure_ascii=False))
    else:
        print(answer["rows"])
        for key in ("accuracy", "macro_f1", "weighted_f1", "au_prc"):
            print(f"{key:12} {answer['metrics'][key]:.4f}")
    return 0


@runs_app.default
def list_runs(*, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """List the runs, newest first.

    Parameters
    ----------
    json
        Answer as JSON.
    """
    runs = _store().list()
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
    """Ask a run to stop; its adapter so far is kept."""
    store = _store()
    store.request_stop(run)
    print(f"{run} was asked to stop.")
    return 0


@runs_app.command
def delete(run: str) -> int:
    """Delete a run that is not running, with its adapter."""
    _store().delete(run)
    print(f"{run} is deleted.")
    return 0


def _store() -> Any:
    from irtuning.runs.store import RECORDED, RunStore

    return RunStore.default(recorded=RECORDED)


def _open_adapter(name: str) -> tuple[str, Any]:
    from irtuning.classify import SHIPPED, AdapterShelf, Classifier

    path = Path(name).expanduser() if name else None
    if path is not None and path.is_dir():
        folder = path / "adapter" if (path / "adapter").is_dir() else path
        return path.name, Classifier(folder)
    shelf = AdapterShelf(_store())
    return name or SHIPPED, Classifier(shelf.folder(name))


def _write_table(rows: list[dict[str, Any]], output: Path | None, as_json: bool) -> None:
    stream = output.open("w", encoding="utf-8", newline="") if output else sys.stdout
    try:
        if as_json or (output is not None and output.suffix == ".jsonl"):
            stream.writelines(jsonlib.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(stream, list(rows[0]) if rows else ["before", "after", "label", "probability"])
            writer.writeheader()
            writer.writerows(rows)
    finally:
        if output:
            stream.close()


def main(arguments: list[str]) -> int:
    """Runs one command; its exit status."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        return app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0
    except cyclopts.CycloptsError as error:
        cause = error.__cause__
        print(explain(cause) if isinstance(cause, ValidationError) else str(error), file=sys.stderr)
        return 2
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except StudioError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
