"""Results -> a table for people: means over seeds, paired differences to the first method, ratios. Pure.

What a run that was cut short scores says nothing and is not shown.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from irtuning.insight.stability import interval


def paired(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Mean difference over pairs and the half width of its 90 % interval (infinite for one pair)."""
    found = interval([a - b for a, b in zip(ours, theirs, strict=True)])
    return found.mean, float("inf") if found.high is None else found.high - found.mean


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line a method, in the order of first appearance; differences and ratios to the first one, paired by seed."""
    methods: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        methods.setdefault(row["job"]["name"], {})[row["job"]["config"].get("seed", 0)] = row["result"]
    if not methods:
        return "no results yet"
    first = next(iter(methods.values()))
    short = {name for row in rows if row["job"].get("limit") for name in [row["job"]["name"]]}
    lines = [
        f"{'':26} {'seeds':>5} {'macro-F1':>9} {'difference':>16} {'weighted':>9} {'difference':>16} {'accuracy':>9} {'valid.':>7}"
        f" {'s/epoch':>8} {'ratio':>6} {'tokens/s':>8} {'MiB':>6} {'ratio':>6}"
    ]
    for name, by_seed in methods.items():
        common = [seed for seed in by_seed if seed in first]
        scored = [] if name in short else list(by_seed.values())
        cells = [f"{name:26} {len(by_seed):5}"]
        for key in ("macro_f1", "weighted_f1"):
            if not scored:
                cells.append(f"{'':9} {'':16}")
                continue
            gap, half = paired(*([100 * runs[s]["test"][key] for s in common] for runs in (by_seed, first)))
            cells.append(f"{100 * statistics.mean(r['test'][key] for r in scored):9.1f} {gap:+7.2f} ±{half:6.2f} ")
        cells.append(_mean([100 * r["test"]["accuracy"] for r in scored if "accuracy" in r["test"]], 9))
        cells.append(_mean([100 * r["validation"]["macro_f1"] for r in scored if r.get("validation")], 7))
        for key, width in (("seconds", 8), ("peak_memory_mib", 6)):
            values = [r[key] / (r["epochs"] if key == "seconds" else 1) for r in by_seed.values()]
            base = [r[key] / (r["epochs"] if key == "seconds" else 1) for r in first.values()]
            cells.append(f"{statistics.mean(values):{width}.1f} {statistics.mean(values) / statistics.mean(base):6.2f}")
            if key == "seconds":
                cells.append(_mean([r["tokens_per_second"] for r in by_seed.values() if "tokens_per_second" in r], 8))
        lines.append(" ".join(cells))
    return "\n".join(lines)


def _mean(values: Sequence[float], width: int) -> str:
    return f"{statistics.mean(values):{width}.1f}" if values else " " * width
