"""The picture of how often layers trained: what it takes from the results, and that it is drawn."""

from __future__ import annotations

import pytest

from tests.benchmarks.frequencies import draw, frequency_figure, shares


def row(name: str, seed: int, counts: list[int], model: str = "minilm", limit: int = 0, **chosen):
    job = {"name": name, "arm": "ours", "limit": limit, "config": {"model_name": model, "seed": seed, **chosen}}
    return {"job": job, "result": {"steps": 4, "layers_trained": counts}}


ROWS = [
    row("steady", 2, [1, 4]),
    row("the paper's rule", 1, [0, 2]),
    row("the paper's rule", 1, [3, 4], model="smollm2-135m"),
    row("all layers", 1, [4, 4]),
    row("steady", 1, [4, 4], limit=2),
    row("steady", 2, [4, 4], dtype="float32"),
]


def test_whole_runs_of_the_rules_count():
    assert shares(ROWS) == {
        "minilm": {("steady", 2): [0.25, 1.0], ("the paper's rule", 1): [0.0, 0.5]},
        "smollm2-135m": {("the paper's rule", 1): [0.75, 1.0]},
    }


def test_a_model_without_runs_in_the_machines_own_numbers_shows_those_it_has():
    told = [row("steady", 1, [0, 4], model="smollm2-135m", dtype="float32")]
    assert shares(told) == {"smollm2-135m": {("steady", 1): [0.0, 1.0]}}


def test_a_panel_a_model_and_a_strip_a_run():
    minilm, smollm = frequency_figure(shares(ROWS)).data
    # From below: plotly's first row is the lowest.
    assert list(minilm.y) == ["steady, seed 2", "the paper's rule, seed 1"]
    assert [list(strip) for strip in minilm.z] == [[0.25, 1.0], [0.0, 0.5]]
    assert list(smollm.y) == ["the paper's rule, seed 1"]


@pytest.mark.browser
def test_it_is_drawn(tmp_path):
    draw(frequency_figure(shares(ROWS)), tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"
