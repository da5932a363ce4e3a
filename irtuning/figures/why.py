"""Why these layers: scores ranked, and beside them, on the same rows, the variance each split would leave. A skeleton without data.

Row 0 on top is the most important layer; a split that keeps the upper k lies at k - 0.5.
"""

from __future__ import annotations

from irtuning.figures.live import Figure, label_every
from irtuning.figures.theme import FONT, SMALL, Theme

TRACES = ("trained", "frozen", "unknown", "curve", "minimum")
SHAPES = ("window", "split")


def row_height(layers: int) -> float:
    """Pixels of one layer's row: each has its label up to 48 layers."""
    return max(8.0, min(34.0, max(14.6, 420 / max(layers, 1)) if layers <= 48 else 700 / layers))


def why_figure(*, layers: int, theme: Theme, wide: bool) -> Figure:
    """The empty panel.

    Args:
        layers: of the model, at least 1.
        theme: colours. wide: beside the live picture (else below it, on a phone).
    """
    row = row_height(layers)
    margin = {"l": 34, "r": 12, "t": 6, "b": 46, "pad": 0}
    axis = {"zeroline": False, "showgrid": False, "tickfont": {"size": SMALL, "color": theme.ink}, "fixedrange": True,
            "ticks": "", "automargin": False}
    title = {"font": {"size": 13, "color": theme.quiet}, "standoff": 6}
    bars = {"type": "bar", "orientation": "h", "x": [], "y": list(range(layers)), "hoverinfo": "skip"}
    layout = {
        "height": round(row * layers + margin["t"] + margin["b"]),
        "margin": margin,
        "autosize": True,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": theme.ink},
        "showlegend": False,
        "hovermode": False,
        "dragmode": False,
        "barmode": "overlay",
        "bargap": 0.16,
        "xaxis": {**axis, "domain": [0, 0.64], "anchor": "y", "nticks": 4, "rangemode": "tozero",
                  "title": {**title, "text": "score before the step"}},
        "xaxis2": {**axis, "domain": [0.69, 1], "anchor": "y", "showticklabels": False,
                   "title": {**title, "text": "variance", "standoff": 21}},
        "yaxis": {**axis, "range": [layers - 0.5, -0.5], "tickmode": "array", "tickvals": list(range(layers)), "ticktext": [],
                  "tickfont": {"size": SMALL, "color": theme.quiet}},
        "shapes": [
            {"type": "rect", "xref": "x2 domain", "yref": "y", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "visible": False,
             "layer": "below", "line": {"width": 0}, "fillcolor": theme.shade},
            {"type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "visible": False,
             "line": {"color": theme.ink, "width": 1.6, "dash": "dot"}},
        ],
        "meta": {
            "traces": {name: index for index, name in enumerate(TRACES)},
            "shapes": {name: index for index, name in enumerate(SHAPES)},
            "label_every": label_every(row),
            "outline": {"trained": theme.accent, "frozen": theme.bar},
            "fill": {"trained": theme.tint, "frozen": "rgba(0,0,0,0)"},
        },
    }
    data = [
        {**bars, "marker": {"color": theme.accent}},
        {**bars, "marker": {"color": theme.frozen_bar}},
        {**bars, "marker": {"color": [], "line": {"color": [], "width": 1.2}}},
        {"type": "scatter", "mode": "lines", "x": [], "y": [], "xaxis": "x2", "yaxis": "y", "hoverinfo": "skip",
         "line": {"color": theme.warm, "width": 2}},
        {"type": "scatter", "mode": "markers", "x": [], "y": [], "xaxis": "x2", "yaxis": "y", "hoverinfo": "skip",
         "cliponaxis": False, "marker": {"size": 9, "color": theme.card, "line": {"color": theme.warm, "width": 2.2}}},
    ]
    return {"data": data, "layout": layout, "config": {"staticPlot": True, "responsive": False}}
