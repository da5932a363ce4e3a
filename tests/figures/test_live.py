"""The empty pictures are figures that plotly takes, and fit together."""

from __future__ import annotations

import itertools
import json

import pytest

from irtuning.figures import live, why
from irtuning.figures.theme import SMALL, THEMES

LAYERS = (1, 6, 30, 80, 126)


def both(layers, theme="light", wide=True):
    return (
        live.live_figure(layers=layers, steps=282, theme=THEMES[theme], wide=wide),
        why.why_figure(layers=layers, theme=THEMES[theme], wide=wide),
    )


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("layers", LAYERS)
def test_plotly_takes_them(layers, theme, wide):
    from plotly import graph_objects
    for figure in both(layers, theme, wide):
        assert graph_objects.Figure(data=figure["data"], layout=figure["layout"]).layout.height == figure["layout"]["height"]


@pytest.mark.parametrize("layers", LAYERS)
def test_panels_stand_one_above_the_other_without_touching(layers):
    layout = both(layers)[0]["layout"]
    domains = [layout[name]["domain"] for name in ("yaxis4", "yaxis3", "yaxis2", "yaxis")]
    assert domains[0][0] == 0
    assert domains[-1][1] == pytest.approx(1)
    for below, above in itertools.pairwise(domains):
        assert below[1] < above[0]
    assert layout["xaxis"]["domain"][1] < layout["xaxis2"]["domain"][0]


def test_names_lead_to_what_they_name():
    figure, panel = both(30)
    kinds = {name: figure["data"][index] for name, index in figure["layout"]["meta"]["traces"].items()}
    assert kinds["cells"]["type"] == "heatmap"
    assert (kinds["cells"]["zmin"], kinds["cells"]["zmax"]) == (0, 2)
    assert kinds["cells"]["colorscale"] == THEMES["light"].cells
    assert kinds["share"]["xaxis"] == "x2"
    assert kinds["count"]["yaxis"] == "y2"
    assert kinds["loss"]["yaxis"] == "y3"
    assert kinds["network"]["yaxis"] == kinds["floor"]["yaxis"] == "y4"
    assert len(figure["data"]) == len(kinds)
    assert [shape["type"] for shape in figure["layout"]["shapes"]] == ["line", "rect"]
    assert len(figure["layout"]["annotations"]) == len(figure["layout"]["meta"]["annotations"])
    assert len(panel["data"]) == len(panel["layout"]["meta"]["traces"])


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("wide", [True, False])
def test_nothing_is_written_smaller_than_the_smallest_text_and_labels_do_not_touch(layers, wide):
    def sizes(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "font" or key.endswith("font"):
                    yield inner["size"]
                yield from sizes(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from sizes(inner)

    for figure in both(layers, wide=wide):
        assert min(sizes(figure["layout"])) >= SMALL
    assert live.row_height(layers) * live.label_every(live.row_height(layers)) >= SMALL
    assert why.row_height(layers) * live.label_every(why.row_height(layers)) >= SMALL


def test_thirty_layers_have_a_row_each_that_can_be_pointed_at():
    assert live.row_height(30) >= 10
    assert live.label_every(why.row_height(30)) == 1


def test_they_are_plain_and_small():
    for figure in both(30):
        assert len(json.dumps(figure, allow_nan=False)) < 12_000
        assert all(colour.startswith("#") for trace in figure["data"] for _, colour in trace.get("colorscale", []))


def test_the_steps_alone_can_be_zoomed():
    layout = both(30)[0]["layout"]
    assert not layout["xaxis"]["fixedrange"]
    assert layout["yaxis"]["fixedrange"]
    assert layout["xaxis"]["range"] == [0.5, 282.5]


def test_the_layers_axis_says_what_a_row_is():
    titles = {
        unit: live.live_figure(layers=12, steps=10, theme=THEMES["light"], wide=True, unit=unit)["layout"]["yaxis"]["title"]["text"]
        for unit in ("layer", "block")
    }
    assert titles == {"layer": "layer", "block": "block"}
