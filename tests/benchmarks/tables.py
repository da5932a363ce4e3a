"""Results -> a table for people: means over seeds, paired differences to the first method, ratios. Pure."""

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
    lines = [
        f"{'':26} {'seeds':>5} {'macro-F1':>9} {'difference':>16} {'weighted':>9} {'difference':>16} {'valid.':>7}"
        f" {'s/epoch':>8} {'ratio':>6} {'MiB':>6} {'ratio':>6}"
    ]
    for name, by_seed in methods.items():
        common = [seed for seed in by_seed if seed in first]
        cells = [f"{name:26} {len(by_seed):5}"]
        for key in ("macro_f1", "weighted_f1"):
            ours = [100 * by_seed[s]["test"][key] for s in common]
            theirs = [100 * first[s]["test"][key] for s in common]
            gap, half = paired(ours, theirs) if common else (float("nan"), float("nan"))
            cells.append(f"{statistics.mean(ours):9.1f} {gap:+7.2f} ±{half:6.2f} ")
        valid = [r["validation"]["macro_f1"] for r in by_seed.values() if r.get("validation")]
        cells.append(f"{100 * statistics.mean(valid):7.1f}" if valid else f"{'':7}")
        for key, width in (("seconds", 8), ("peak_memory_mib", 6)):
            values = [r[key] / (r["epochs"] if key == "seconds" else 1) for r in by_seed.values()]
            base = [r[key] / (r["epochs"] if key == "seconds" else 1) for r in first.values()]
            cells.append(f"{statistics.mean(values):{width}.1f} {statistics.mean(values) / statistics.mean(base):6.2f}")
        lines.append(" ".join(cells))
    return "\n".join(lines)
