"""The command line: `python -m irtuning train | classify | evaluate | runs | models`.

Flags of `train` derive from RunConfig. Exit status: 0; 1 the command failed, with one sentence of why; 2 a wrong argument;
130 interrupted. With --json the last line of standard output is one JSON object; everything else goes to standard error.
"""

from __future__ import annotations

import json as jsonlib
import os
import shlex
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from irtuning.config import RunConfig
from irtuning.errors import ConfigError
from irtuning.exits import status_of
from irtuning.paths import existing
from irtuning.run_commands import find_run, open_store, runs_app

Flags = Annotated[RunConfig, Parameter(name="*")]
NOTHING_GIVEN = RunConfig()
Text = Annotated[str | None, Parameter(allow_leading_hyphen=True)]
STOPPED = 130

app = App(
    name="python -m irtuning",
    help="Tell why a text was revised: train on the layers that matter, classify, evaluate.",
    version_flags=[],
)
app.command(runs_app)


@app.command
def train(
    config: Flags = NOTHING_GIVEN,
    *,
    preset: Literal["thirty-seconds", "real-llm", "paper", "steady"] | None = None,
    output_dir: Path | None = None,
    resume: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Train an adapter and score it on held-out documents.

    Parameters
    ----------
    preset
        A starting point; flags that are given win over it. thirty-seconds (the default): MiniLM on the starter corpus; real-llm:
        SmolLM2-135M on it; paper: Llama 3.1 8B on IteraTeR with the paper's settings. steady goes with any model and saves time, on
        deep ones at a point or two of F1: all layers train in the first steps, then the most important within a budget of time,
        and what comes out of the layers below them is kept.
    output_dir
        Make the run's folder inside this one instead of the store's.
    resume
        Go on with a run that did not come to its end, from its newest checkpoint: its id, or its folder.
    json
        End with one JSON object on standard output.
    """
    from irtuning.insight.history import chosen
    from irtuning.runs import together
    from irtuning.runs.store import EventLog, RunStore
    from irtuning.runs.terminal import Terminal
    from irtuning.runs.worker import work

    if not together.is_first():
        return together.follow()
    with together.inviting() as invite:
        if resume is not None:
            if config.given or preset or output_dir:
                raise ConfigError("A resumed run keeps its settings: give --resume without other choices.")
            store, run = find_run(resume)
        else:
            store = RunStore(output_dir) if output_dir else RunStore.default()
            run = store.create(together.for_all(config), preset=preset)
        folder = store.path(run)
        every = store.run_config(run).logging_steps or 10
        terminal = Terminal(run, every=every, out=sys.stderr if json else sys.stdout, err=sys.stderr)
        log = EventLog(folder, also=terminal.take)
        if resume is not None:
            store.reopen(run, log)
            terminal.recall(chosen(store.all_events(run)))
        status = work(folder, log=log, waiting=terminal.waits, resume=resume is not None, invite=invite)
    closing = terminal.close(folder)
    if status == STOPPED:
        print(f"train --resume {shlex.quote(resume or str(folder if output_dir else run))} goes on with it.", file=sys.stderr)
    if json and status in (0, STOPPED):
        there = folder / "adapter"
        answer = {"run": run, "run_dir": str(folder), "adapter_dir": str(there) if there.is_dir() else None, **closing}
        print(jsonlib.dumps(answer))
    return status


@app.command
def classify(
    *,
    adapter: str = "",
    base: str = "",
    before: Text = None,
    after: Text = None,
    file: Path | None = None,
    output: Path | None = None,
    before_column: str | None = None,
    after_column: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Tell the intention of one revision, or of every row of a file.

    Parameters
    ----------
    adapter
        A folder in checkpoints/, a run's id or a path; the shipped adapter by default.
    base
        The folder of its base model, where that was a local one and the adapter lies in no run of this machine.
    before
        The text before the revision; '' for an addition.
    after
        The text after the revision; '' for a deletion.
    file
        A .jsonl, .csv, .tsv or .xlsx file with the columns before and after.
    output
        Where to write the file's rows with their labels: .jsonl, or .csv, in which a text that a spreadsheet would compute gets an
        apostrophe before it. A row that was not revised keeps its place, without a label.
    before_column
        The file's column of the text before; unset: `before` or another usual name.
    after_column
        The file's column of the text after; unset: `after` or another usual name.
    json
        Answer as JSON: of a file one object a row, with --output one on what was written there.
    """
    from irtuning.classify import refuse_unnamed
    from irtuning.classify_file import check_output, classify_rows, write_table
    from irtuning.revisions.corpora import Columns, read_rows
    from irtuning.revisions.encoding import check_pair

    if file is None:
        if output or before_column or after_column:
            raise ConfigError("--output, --before-column and --after-column go with --file.", "Name one, or leave them out.")
        pair = refuse_unnamed(before, after)
        check_pair(*pair)  # before the seconds that loading a model takes
        name, classifier = _open_adapter(adapter, base)
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
    if output is not None:
        check_output(output, file)
    rows, lines = read_rows(file, Columns(before_column, after_column))
    table, problems = classify_rows(rows, lines, _open_adapter(adapter, base)[1])
    write_table(table, output, as_json=json)
    if output is not None and json:
        print(jsonlib.dumps({"output": str(output), "rows": len(table), "problems": problems}, ensure_ascii=False))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 0


@app.command
def evaluate(
    *,
    dataset_name: str,
    adapter: str = "",
    base: str = "",
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
    base
        The folder of its base model, where that was a local one and the adapter lies in no run of this machine.
    before_column
        The corpus's column of the text before; unset: `before` or another usual name.
    after_column
        The corpus's column of the text after; unset: `after` or another usual name.
    label_column
        The corpus's column of the intention; unset: `label` or another usual name.
    doc_column
        The corpus's column of the document or writer; unset: one that is called so; '' for none.
    json
        Answer as JSON.
    """
    from irtuning.classify import evaluate as evaluate_adapter
    from irtuning.revisions.corpora import Columns

    name, classifier = _open_adapter(adapter, base)
    answer = evaluate_adapter(classifier, dataset_name, Columns(before_column, after_column, label_column, doc_column))
    if json:
        print(jsonlib.dumps({"adapter": name, **answer}, ensure_ascii=False))
    else:
        print(answer["rows"])
        for key in ("accuracy", "macro_f1", "weighted_f1", "au_prc"):
            print(f"{key:12} {answer['metrics'][key]:.4f}")
    return 0


@app.command
def models(*, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """List the base models that can be named, and which of them are on this machine.

    Parameters
    ----------
    json
        Answer as JSON.
    """
    from irtuning.insight.models import model_rows

    rows = model_rows()
    if json:
        print(jsonlib.dumps({"models": rows}, ensure_ascii=False))
        return 0
    for row in rows:
        full, eight, four = row["memory_gib"].values()
        ids = row["hub_id"] + (f", with an instruction {row['instruct_id']}" if row["instruct_id"] else "")
        print(
            f"{row['name']:22} {row['layers']:3} layers  {_count(row['parameters']):>6}  {row['licence']:19}  "
            f"{full:4.1f} GiB ({eight:.1f} in 8 bit, {four:.1f} in 4)  "
            f"{'here: ' + row['on_this_machine'] if row['on_this_machine'] else 'on the hub'}{', gated' if row['gated'] else ''}"
        )
        print(f"{'':22} {ids}")
    print("Memory: a guess at the peak of a run with the model's defaults on a GPU in bfloat16; 8 and 4 bit need bitsandbytes.")
    return 0


def _count(parameters: int) -> str:
    """For people: `134.5M`, `8.0B`."""
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.1f}M"


def _open_adapter(name: str, base: str) -> tuple[str, Any]:
    from irtuning.classify import SHIPPED, Classifier
    from irtuning.shelf import AdapterShelf

    path = existing(name)
    if path is not None and path.is_dir():
        folder = path / "adapter" if (path / "adapter").is_dir() else path
        found = path.name, Classifier(folder, base=base)
    else:
        found = name or SHIPPED, Classifier(AdapterShelf(open_store()).folder(name), base=base)
    if found[1].notice:
        print(found[1].notice, file=sys.stderr)
    return found


def main(arguments: list[str]) -> int:
    """Runs one command; its exit status."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.isatty():
        # A terminal that cannot show a sign gets another one for it.
        sys.stdout.reconfigure(errors="replace")
    return status_of(lambda: app(arguments, exit_on_error=False, print_error=False, result_action="return_value"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
