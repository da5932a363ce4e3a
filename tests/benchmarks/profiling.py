"""Where the time of training steps goes: `python -m tests.benchmarks.profiling MODEL CORPUS [--method full|ir|steady]`.

Trains as a user would, by `train`, and profiles some steps by torch's own profiler. Prints kinds of operations with their
shares, the costliest operations, and one JSON line. Shares are of the time in operations; what Python takes between them is told
apart. Knows neither quality nor other ways to train.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from irtuning.config import RunConfig
from irtuning.events import Step
from irtuning.tuning.training import train
from tests.benchmarks.gpu_watch import COSTLIEST
from tests.benchmarks.studies import METHODS
from tests.benchmarks.telling import told

WAYS = {"full": "all layers", "ir": "the paper's rule", "steady": "steady"}
KINDS: dict[str, tuple[str, ...]] = {
    "attention": ("attention",),
    "products": ("mm", "linear", "matmul"),
    "dropout": ("dropout", "bernoulli", "random", "uniform"),
    "optimizer, measuring, clipping": ("adam", "foreach", "linalg_vector_norm", "equal"),
    "norms and activations": ("layer_norm", "rms_norm", "gelu", "silu", "softmax", "tanh", "rsqrt", "pow", "mean"),
    "copies and casts": ("copy", "clone", "cat", "to_copy", "fill", "zero", "index", "embedding", "gather", "scatter"),
    "sums and products of single numbers": ("add", "mul", "sub", "div", "sum", "neg", "where"),
}
"""Kind -> parts of names of operations; the first kind that fits counts."""
OTHER = "all else"


def kind_of(operation: str) -> str:
    """The kind of an operation of torch's, by its name, e.g. `aten::addmm`."""
    name = operation.rpartition("::")[2].lower()
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), OTHER)


def shares(spent: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Share of each kind in (operation, its own time), the largest first."""
    sums: dict[str, float] = defaultdict(float)
    for operation, took in spent:
        sums[kind_of(operation)] += took
    whole = sum(sums.values()) or 1.0
    return {kind: took / whole for kind, took in sorted(sums.items(), key=lambda pair: -pair[1])}


def profiled(config: RunConfig, after: int, steps: int) -> dict[str, Any]:
    """Trains `after` + `steps` steps and profiles the last ones.

    Returns:
        {"device", "dtype", "steps", "seconds" (by the clock), "in_operations" (their share of it), "kinds" (name -> share of the
        time in operations), "costliest" (name, share, calls)}.

    Raises:
        StudioError: model or corpus cannot be had.
    """
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    profiler, began, told = profile(activities=kinds), [0.0], {}

    def emit(event: Any) -> None:
        if event.kind == "run_started":
            told.update(device=event.device, dtype=event.dtype)
        if isinstance(event, Step) and event.step == after:
            profiler.start()
            began[0] = time.perf_counter()
        if isinstance(event, Step) and event.step == after + steps:
            told["seconds"] = time.perf_counter() - began[0]
            profiler.stop()

    with tempfile.TemporaryDirectory() as folder:
        train(config.model_copy(update={"max_steps": after + steps, "save_steps": 0}), emit, output_dir=f"{folder}/adapter")
    on_gpu = told["device"] == "cuda"
    own = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    spent = sorted(((row.key, getattr(row, own), row.count) for row in profiler.key_averages()), key=lambda row: -row[1])
    whole = sum(took for _, took, _ in spent)
    return {
        **told,
        "steps": steps,
        "in_operations": whole / 1e6 / told["seconds"],
        "kinds": shares((name, took) for name, took, _ in spent),
        "costliest": [(name, took / whole, count) for name, took, count in spent[:COSTLIEST]],
    }


def table(found: dict[str, Any]) -> str:
    """For people."""
    lines = [
        f"{found['steps']} steps on {found['device']}, {found['dtype']}: {found['seconds'] / found['steps']:.3f} s each by the clock, "
        f"{found['in_operations']:.0%} of it in operations; of those:"
    ]
    lines += [f"  {share:6.1%}  {kind}" for kind, share in found["kinds"].items()]
    lines += ["the costliest:", *(f"  {share:6.1%}  {name}, {count} times" for name, share, count in found["costliest"])]
    return "\n".join(lines)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--method", choices=list(WAYS), default="full")
    parser.add_argument("--after", type=int, default=10, help="steps before those that are profiled")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--dtype", default="auto")
    chosen = parser.parse_args()
    values = {"model_name": chosen.model, "dataset_name": chosen.corpus, "dtype": chosen.dtype, **METHODS[WAYS[chosen.method]]}
    told(lambda: profiled(RunConfig(**values), chosen.after, chosen.steps), table)


if __name__ == "__main__":
    main()
