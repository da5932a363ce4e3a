"""How often each layer trained, over methods and seeds, as one picture: from the results file, which keeps a count a layer.

`python -m tests.benchmarks.frequencies OUT.png [--results FILE]` draws it in the browser that the tests use.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from playwright.sync_api import sync_playwright
from plotly.subplots import make_subplots

from irtuning.catalogue import MODELS
from irtuning.figures.theme import FONT, LIGHT
from tests.benchmarks.driver import ROOT, read
from tests.benchmarks.studies import METHODS
from tests.browser.live_serving import launch

RULES = [name for name, values in METHODS.items() if values.get("tuning_method") != "full"]
WIDTH, ROW = 1080, 22
"""Pixels."""


def shares(rows: Iterable[dict[str, Any]]) -> dict[str, dict[tuple[str, int], list[float]]]:
    """Model -> (method, seed) -> for each layer the share of steps in which it trained.

    Only whole runs of the rules count, of layers, in the numbers that the machine chose, and where a model has none of these
    in those it was told: so a method and a seed have one strip.
    """
    found: dict[str, dict[str, dict[tuple[str, int], list[float]]]] = {}
    for row in rows:
        job, result = row["job"], row["result"]
        config = job["config"]
        if job["arm"] == "ours" and job["name"] in RULES and not job["limit"] and "selection_unit" not in config:
            runs = found.setdefault(config["model_name"], {}).setdefault(config.get("dtype", ""), {})
            runs[job["name"], config["seed"]] = [n / result["steps"] for n in result["layers_trained"]]
    return {model: by_numbers[min(by_numbers)] for model, by_numbers in found.items()}


def frequency_figure(found: dict[str, dict[tuple[str, int], list[float]]]) -> go.Figure:
    """A strip of cells for each run, the layers from left to right; a panel for each model."""
    heights = [len(runs) for runs in found.values()]
    figure = make_subplots(
        rows=len(found), cols=1, row_heights=heights, vertical_spacing=90 / (sum(heights) * ROW + 90 * len(found)),
        subplot_titles=[MODELS[model].title for model in found],
    )  # fmt: skip
    scale = [[0.0, LIGHT.frozen[0]], *([(i + 1) / len(LIGHT.ramp), colour] for i, colour in enumerate(LIGHT.ramp))]
    for place, runs in enumerate(found.values(), 1):
        ordered = sorted(runs, key=lambda run: (-RULES.index(run[0]), -run[1]))
        names = [f"{method}, seed {seed}" for method, seed in ordered]
        figure.add_heatmap(
            row=place, col=1, y=names, z=[runs[run] for run in ordered], xgap=1, ygap=2, coloraxis="coloraxis"
        )
        figure.update_xaxes(row=place, col=1, title={"text": "layer", "standoff": 4}, dtick=1, showgrid=False, zeroline=False)
    figure.update_layout(
        width=WIDTH, height=sum(heights) * ROW + 90 * len(found), margin={"l": 170, "r": 20, "t": 30, "b": 50},
        paper_bgcolor=LIGHT.card, plot_bgcolor=LIGHT.card, font={"family": FONT, "size": 13, "color": LIGHT.ink},
        coloraxis={
            "colorscale": scale, "cmin": 0, "cmax": 1,
            "colorbar": {"title": {"text": "share of the steps", "side": "right"}, "tickformat": ".0%"},
        },
    )  # fmt: skip
    return figure


def draw(figure: go.Figure, out: Path) -> None:
    """The figure as a PNG, twice as fine as its size."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "figure.html"
        figure.write_html(page_file, include_plotlyjs=True, config={"displayModeBar": False})
        browser = launch(playwright)
        page = browser.new_page(
            viewport={"width": int(figure.layout.width), "height": int(figure.layout.height)}, device_scale_factor=2
        )
        page.goto(page_file.as_uri())
        page.locator(".plot-container").screenshot(path=out)
        browser.close()


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--results", type=Path, default=ROOT / "tests" / "benchmarks" / "results.jsonl")
    chosen = parser.parse_args()
    draw(frequency_figure(shares(read(chosen.results).values())), chosen.out)


if __name__ == "__main__":
    main()
