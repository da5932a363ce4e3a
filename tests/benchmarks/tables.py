"""Results -> figures of each method and a table of them for people: means over seeds, paired differences and ratios to the first
method. Pure.

What a run that was cut short scores says nothing and is not told. Where runs of a method took turns with others, its seconds are
theirs alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from irtuning.insight.stability import interval

SCORES = ("macro_f1", "weighted_f1", "au_prc")
COSTS = ("seconds", "seconds_with_evaluation", "peak_memory_mib")


def paired(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float | None]:
    """Mean difference over pairs and the half width of its 90 % interval (None for one pair)."""
    found = interval([a - b for a, b in zip(ours, theirs, strict=True)])
    return found.mean, None if found.high is None else found.high - found.mean


def figures(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One a method, in the order of first appearance; differences and ratios to the first one, over the seeds that both have.

    Returns:
        {"method", "seeds", "macro_f1", "weighted_f1", "au_prc", "validation" (macro-F1; in points of 100; None where runs were cut
        short), "difference" ({score: (mean, half width of the 90 % interval or None)} or None), "seconds" (a pass, the steps
        alone), "seconds_with_evaluation" (with what was scored between them; None for ours cut short), "peak_memory_mib",
        "tokens_per_second", "ratio" ({cost: of means} or None where no seed is common)}.
    """
    methods: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        result = {**row["result"], "in_turns": row["job"].get("in_turns", False)}
        methods.setdefault(row["job"]["name"], {})[row["job"]["config"].get("seed", 0)] = result
    jobs = {row["job"]["name"]: row["job"] for row in rows}
    first = next(iter(methods.values()), {})
    return [_figures(jobs[name], runs, first) for name, runs in methods.items()]


def _figures(job: dict[str, Any], runs: dict[int, dict[str, Any]], first: dict[int, dict[str, Any]]) -> dict[str, Any]:
    common = [seed for seed in runs if seed in first]
    scored = {} if job.get("limit") else runs
    # Ours scores as often in a run cut short as in a whole one of that length, which says nothing of all passes.
    costs = [cost for cost in COSTS if scored or job.get("arm") != "ours" or cost != "seconds_with_evaluation"]
    difference = {
        score: paired(*([100 * side[seed]["test"][score] for seed in common] for side in (runs, first)))
        for score in SCORES
    } if scored and common else None  # fmt: skip
    return {
        "method": job["name"],
        "seeds": sorted(runs),
        **{score: _mean(100 * run["test"][score] for run in scored.values()) for score in SCORES},
        "validation": _mean(100 * run["validation"]["macro_f1"] for run in scored.values() if run.get("validation")),
        "difference": difference,
        **{cost: _mean(_cost(runs[seed], cost) for seed in _told(cost, runs, runs)) if cost in costs else None for cost in COSTS},
        "tokens_per_second": _mean(run["tokens_per_second"] for run in runs.values() if "tokens_per_second" in run),
        "ratio": {
            cost: statistics.mean(_cost(runs[s], cost) for s in seeds) / statistics.mean(_cost(first[s], cost) for s in seeds)
            for cost in costs
            for seeds in [_told(cost, common, runs, first)]
        } if common else None,
    }  # fmt: skip


def _told(cost: str, seeds: Iterable[int], *sides: dict[int, dict[str, Any]]) -> list[int]:
    """The seeds whose cost counts."""
    found = list(seeds)
    in_turns = [seed for seed in found if all(side[seed]["in_turns"] for side in sides)]
    return in_turns if in_turns and cost != "peak_memory_mib" else found


def _cost(run: dict[str, Any], cost: str) -> float:
    """Seconds of a pass over the corpus, or MiB."""
    return run[cost] / (1 if cost == "peak_memory_mib" else run["epochs"])


def table(found: Sequence[dict[str, Any]]) -> str:
    """One line a method, of what `figures` gave."""
    if not found:
        return "no results yet"
    lines = [
        f"{'':26} {'seeds':>5}"
        + "".join(f" {name:>9} {'difference':>16}" for name in ("macro-F1", "weighted", "AU-PRC"))
        + f" {'valid.':>7}"
        f" {'s/epoch':>8} {'ratio':>6} {'scored':>8} {'ratio':>6} {'tokens/s':>8} {'MiB':>7} {'ratio':>6}"
    ]
    for row in found:
        cells = [f"{row['method']:26} {len(row['seeds']):5}"]
        for score in SCORES:
            gap = row["difference"] and row["difference"][score]
            between = f"{gap[0]:+7.2f}" + (f" ±{gap[1]:6.2f}" if gap[1] is not None else "") if gap else ""
            cells += [_cell(row[score], 9), f"{between:16}"]
        cells.append(_cell(row["validation"], 7))
        ratio = row["ratio"] or {}
        for cost, width in zip(COSTS, (8, 8, 7), strict=True):
            if cost == "peak_memory_mib":
                cells.append(_cell(row["tokens_per_second"], 8))
            cells += [_cell(row[cost], width), _cell(ratio.get(cost), 6, ".2f")]
        lines.append(" ".join(cells))
    return "\n".join(lines)


def _mean(values: Any) -> float | None:
    found = list(values)
    return statistics.mean(found) if found else None


def _cell(value: float | None, width: int, form: str = ".1f") -> str:
    return " " * width if value is None else f"{value:{width}{form}}"
