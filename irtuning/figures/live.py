"""The live picture: layer by step, how often and how many layers train, loss, macro-F1. A skeleton to which a page only adds data.

`figure["layout"]["meta"]` names what a page fills in: `traces`, `shapes` and `annotations` by name -> index.
"""

from __future__ import annotations

from typing import Any

from irtuning.figures.theme import FONT, SMALL, Theme

Figure = dict[str, Any]
"""A plotly figure as plain data: data, layout, config."""

TRACES = ("cells", "share", "count", "loss", "smooth", "floor", "network")
SHAPES = ("cursor", "cell")
ANNOTATIONS = ("count_now", "loss_now", "f1_now")

_GAP = 20
_COUNT, _LOSS, _F1 = 46, 86, 72


def row_height(layers: int) -> float:
    """Pixels of one layer's row in the heatmap: 30 layers stay readable, 6 do not become bricks, 80 still fit."""
    return max(5.0, min(38.0, 330 / max(layers, 1)))


def live_figure(*, layers: int, steps: int, theme: Theme, wide: bool, unit: str = "layer") -> Figure:
    """The empty picture of a run.

    Args:
        layers: of the model, at least 1. steps: of the whole run, at least 1; the step axis is fixed to them.
        theme: colours. wide: two columns beside each other (else a phone).

    Returns:
        Eight panels' worth of empty traces on one step axis `x`: heatmap (y), count trained (y2), loss (y3), macro-F1 (y4);
        bars of how often each layer trained on `x2`, y.
    """
    heat = row_height(layers) * layers
    heights = {"y4": _F1, "y3": _LOSS, "y2": _COUNT, "y": heat}
    plot = sum(heights.values()) + _GAP * (len(heights) - 1)
    domains, bottom = {}, 0.0
    for name, height in heights.items():
        domains[name] = [bottom / plot, min(1.0, (bottom + height) / plot)]
        bottom += height + _GAP
    split = 0.86 if wide else 0.79
    margin = {"l": 54 if wide else 48, "r": 22, "t": 44, "b": 42, "pad": 0}
    left, right = [0, split], [split + (0.014 if wide else 0.025), 1]
    axis = {"showgrid": False, "zeroline": False, "tickfont": {"size": SMALL, "color": theme.ink}, "fixedrange": True,
            "ticks": "", "automargin": False, "showline": False}
    title = {"font": {"size": 13, "color": theme.quiet}}
    side = {**axis, "gridcolor": theme.line, "anchor": "x"}
    layout = {
        "height": round(plot + margin["t"] + margin["b"]),
        "margin": margin,
        "autosize": True,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": theme.ink},
        "showlegend": False,
        "hovermode": False,
        "dragmode": "zoom" if wide else False,
        "bargap": 0.18,
        "xaxis": {**axis, "domain": left, "anchor": "y4", "range": [0.5, steps + 0.5], "fixedrange": False, "nticks": 7 if wide else 4,
                  "tickformat": ",d", "title": {**title, "text": "step", "standoff": 4}, "showline": True, "linecolor": theme.line},
        "xaxis2": {**axis, "domain": right, "anchor": "y", "side": "top", "range": [0, 1], "tickvals": [0, 1],
                   "ticktext": ["0", "100 %"], "title": {**title, "text": "how often", "standoff": 2}},
        "yaxis": {**axis, "domain": domains["y"], "anchor": "x", "range": [-0.5, layers - 0.5],
                  "dtick": label_every(row_height(layers)), "tick0": 0, "title": {**title, "text": unit}},
        "yaxis2": {**side, "domain": domains["y2"], "range": [0, layers * 1.04], "tickvals": sorted({0, layers // 2, layers}),
                   "showgrid": True, "title": {**title, "text": "trained"}},
        "yaxis3": {**side, "domain": domains["y3"], "nticks": 4, "showgrid": True, "title": {**title, "text": "loss"}},
        "yaxis4": {**side, "domain": domains["y4"], "nticks": 4, "range": [0, 1], "showgrid": True,
                   "title": {**title, "text": "macro-F1"}},
        "shapes": [
            {"type": "line", "xref": "x", "yref": "paper", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "visible": False,
             "line": {"color": theme.ink, "width": 1.4, "dash": "dot"}},
            {"type": "rect", "xref": "x", "yref": "y", "x0": 0.5, "x1": 1.5, "y0": -0.5, "y1": 0.5, "visible": False,
             "line": {"color": theme.ink, "width": 1.6}},
        ],
        "annotations": [
            {"xref": "paper", "yref": "paper", "x": right[0] + 0.008, "y": sum(domains[name]) / 2, "xanchor": "left",
             "yanchor": "middle", "showarrow": False, "align": "left", "text": "", "font": {"size": 13, "color": colour}}
            for name, colour in (("y2", theme.quiet), ("y3", theme.warm_text), ("y4", theme.quiet))
        ],
        "meta": {
            "traces": {name: index for index, name in enumerate(TRACES)},
            "shapes": {name: index for index, name in enumerate(SHAPES)},
            "annotations": {name: index for index, name in enumerate(ANNOTATIONS)},
            "ramp": list(theme.ramp),
            "frozen": list(theme.frozen),
            "accent": theme.accent_text,
            "scale": [0.8, 1.2],
        },
    }
    line = {"type": "scatter", "mode": "lines", "x": [], "y": [], "hoverinfo": "skip"}
    data = [
        # Frozen from 0 to 1, trained from 1 to 2, never measured null: one heatmap, since two take twice as long to draw.
        {"type": "heatmap", "x": [], "y": list(range(layers)), "z": [], "showscale": False, "zsmooth": False,
         "ygap": 1 if row_height(layers) >= 6 else 0, "hoverinfo": "skip", "zmin": 0, "zmax": 2, "zauto": False,
         "colorscale": theme.cells},
        {"type": "bar", "orientation": "h", "x": [], "y": list(range(layers)), "xaxis": "x2", "yaxis": "y",
         "marker": {"color": theme.bar}, "hoverinfo": "skip"},
        {**line, "yaxis": "y2", "line": {"color": theme.bar, "width": 1.2, "shape": "hv"}, "fill": "tozeroy",
         "fillcolor": theme.shade},
        {**line, "yaxis": "y3", "line": {"color": theme.faint, "width": 1}},
        {**line, "yaxis": "y3", "line": {"color": theme.warm, "width": 2.2}},
        {**line, "yaxis": "y4", "line": {"color": theme.quiet, "width": 1.4, "dash": "dash"}},
        {**line, "yaxis": "y4", "mode": "lines+markers", "line": {"color": theme.accent, "width": 2},
         "marker": {"size": 6, "color": theme.accent}},
    ]
    return {"data": data, "layout": layout, "config": {"displayModeBar": False, "responsive": False, "doubleClick": False,
                                                         "scrollZoom": False, "showTips": False}}


def label_every(row: float) -> int:
    """Every how many rows a label of the smallest text fits."""
    for every in (1, 2, 5, 10, 20):
        if row * every >= SMALL + 2:
            return every
    return 50
