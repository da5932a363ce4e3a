"""Tables that `runs ablate`, `runs compare` and `runs steps` print: values in, lines of text out.

Knows neither where they go nor whence they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MISSING = "-"


def ablation_lines(ablation: dict[str, Any]) -> list[str]:
    """Lines of an ablation as its file has it: a row a layer, the last layer first as in the heatmap."""
    rows = [["layer", "loss", "macro-F1", "trained"]]
    for row in reversed(ablation["layers"]):
        rows.append(
            [
                str(row["layer"]),
                _number(row["loss_change"], "+.4f"),
                _number(row["macro_f1_change"], "+.3f"),
                _number(row["trained_share"], ".0%"),
            ]
        )
    return [
        f"{ablation['run']}: each layer's adapter switched off in turn, {ablation['rows']} rows of validation of "
        f"{ablation['corpus']}, {ablation['seconds']:.1f} s",
        f"nothing off: loss {_number(ablation['loss'], '.4f')}, macro-F1 {_number(ablation['macro_f1'], '.3f')}; "
        "change with the layer off, and the share of steps in which it trained:",
        *_aligned(rows),
    ]


def comparison_lines(comparison: dict[str, Any]) -> list[str]:
    """Lines of a comparison as `insight.comparison.compare` gives it: the runs, their overlaps, and what seeds agree on."""
    return [
        *_aligned([_RUN_HEAD, *(_run_row(run) for run in comparison["runs"])]),
        *_legend(comparison["runs"]),
        "",
        "overlap of the layers trained (1: the same, 0: none in common)",
        *_aligned([["runs", "step by step", "by frequency"], *(_overlap_row(pair) for pair in comparison["overlap"])]),
        *(line for group in comparison["stability"] for line in _stability_lines(group)),
    ]


def step_lines(steps: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of `insight.explain.step_by_step`: for each step what was ranked, how it was split, what trained, what was measured."""
    lines = []
    for step in steps:
        what = "split" if step["by"] == "scores" else f"{step['by']} split"
        lines += [*([""] if lines else []), f"step {step['step']}: {step['why']}"]
        lines += [
            f"{what} at rank {r['rank']}: variances {_number(r['low_variance'], '.6g')} of the lower {lower}, "
            f"{_number(r['high_variance'], '.6g')} of the others"
            for r, lower in zip(step["split"] or (), step["lower"], strict=True)
        ]
        units = range(len(step["before"]))
        lines += _aligned(
            [
                [step["unit"], *(str(unit) for unit in units)],
                ["before", *(_number(step["before"][unit], ".6f") for unit in units)],
                ["rank", *(str(step["ranks"][unit]) if step["ranks"] else MISSING for unit in units)],
                ["trained", *("yes" if unit in step["selected"] else "" for unit in units)],
                ["measured", *(_number(step["measured"][unit], ".6f") for unit in units)],
            ]
        )
    return lines


_RUN_HEAD = [
    "run", "method", "seed", "macro-F1", "weighted F1", "steps", "trained", "seconds", "s/1,000 tokens", "MiB", "cost",
    "next step",
]  # fmt: skip


def _run_row(run: dict[str, Any]) -> list[str]:
    metrics, price = run["metrics"] or {}, run["price"]
    ratio = (run["ratios"] or {}).get("seconds_per_1000_tokens")
    return [
        run["run"],
        run["method"] or MISSING,
        MISSING if run["seed"] is None else str(run["seed"]),
        _number(metrics.get("macro_f1"), ".3f"),
        _number(metrics.get("weighted_f1"), ".3f"),
        str(price["steps"]),
        _number(price["trained_share"], ".0%"),
        _number(price["seconds"], ".1f"),
        _number(price["seconds_per_1000_tokens"], ".3f"),
        _number(price["peak_memory_mib"], ",.0f"),
        # A token's time against the reference's; the reference itself is 1.
        MISSING if ratio is None else f"{ratio:.2f} x",
        _number(run["successive"], ".2f"),
    ]


def _legend(runs: Sequence[dict[str, Any]]) -> list[str]:
    references = dict.fromkeys(run["reference"] for run in runs if run["reference"])
    against = (
        f"a token's time against that of {' or '.join(references)}"
        if references
        else "no two runs share model, corpus and device"
    )
    return [f"cost: {against}; next step: overlap of a step's layers with the next step's"]


def _overlap_row(pair: dict[str, Any]) -> list[str]:
    return [" / ".join(pair["runs"]), _number(pair["stepwise"], ".2f"), _number(pair["frequency"], ".2f")]


def _stability_lines(group: dict[str, Any]) -> list[str]:
    spread = group["share_spread"]
    lines = [
        "",
        f"one setting, {len(group['runs'])} seeds: {', '.join(group['runs'])}",
        f"  layers trained: overlap {_number(group['stepwise'], '.2f')} step by step, {_number(group['frequency'], '.2f')} by "
        f"frequency; a layer's share of steps differs by {_number(sum(spread) / len(spread), '.0%')} (standard deviation, mean of all)",
    ]
    for name, title in (("macro_f1", "macro-F1"), ("weighted_f1", "weighted F1")):
        if found := group["metrics"].get(name):
            between = "" if found["low"] is None else f" (90 %: {found['low']:.3f} to {found['high']:.3f})"
            of = "" if found["runs"] == len(group["runs"]) else f", of {found['runs']} of them"
            lines.append(f"  {title}: {found['mean']:.3f}{between}{of}")
    return lines


def _number(value: float | None, form: str) -> str:
    return MISSING if value is None else format(value, form)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as columns: the first to the left, all others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
