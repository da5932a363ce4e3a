"""The live view's scripts alone, on an empty page of a real chromium: what they compute, against what the server computes."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from irtuning.insight.columns import merge_columns
from irtuning.insight.history import RunHistory
from irtuning.ui import live
from irtuning.ui.answers import step_row, whole
from tests.simulated import plain, simulate

pytestmark = pytest.mark.browser


def scripted(chromium, *parts: str):
    """An empty page with parts of the script, whose classes are the window's."""
    page = chromium.new_page()
    source = "\n".join((live.ASSETS / "live" / f"{name}.js").read_text() for name in parts)
    classes = re.findall(r"^class (\w+)", source, re.MULTILINE)
    page.add_script_tag(content=f"{source}\nObject.assign(window, {{ {', '.join(classes)} }});")
    return page


def opened_at(history: RunHistory, **head) -> dict:
    """What the browser is told of a run as it stands."""
    return {"head": {"layers": history.layers, **head}, **json.loads(json.dumps(whole(history, 0.0)))}


def of_cosines(made: list[dict]) -> list[dict]:
    """A run's events with every layer measured in every step, as cosines are."""
    random = np.random.default_rng(4)
    return [{**e, "scores": random.uniform(0.8, 1, len(e["scores"])).tolist()} if e["kind"] == "step" else e for e in made]


@pytest.mark.parametrize(("layers", "steps", "metric"), [(6, 1500, "gradient"), (80, 700, "gradient"), (6, 1500, "cosine")])
def test_the_browser_merges_columns_as_the_server_does(chromium, layers, steps, metric):
    made = plain(*simulate(layers=layers, steps=steps, evaluate_every=10**6))
    made = of_cosines(made) if metric == "cosine" else made
    history, half = RunHistory(), RunHistory()
    history.feed(made)
    half.feed(made[: len(made) // 2])
    page = scripted(chromium, "numbers", "series")
    head = {"steps": steps, "metric": metric}
    rows = [step_row(event) for event in made if event["kind"] == "step"]
    width, one, two, masks = page.evaluate(
        """([answer, early, rows, layers, head]) => {
            const whole = new Series(), joined = new Series(), grown = new Series();
            whole.reset(answer);
            joined.reset(early);
            grown.clear(layers, head.steps, head);
            if (!rows.every((row) => grown.append(row))) throw new Error("a step was refused");
            if (!rows.slice(joined.last).every((row) => joined.append(row))) throw new Error("a later step was refused");
            const flat = (series) => { series.end(); return series.cells.map((row) => Array.from(row, (v) => v ?? -1)); };
            return [grown.width, [flat(whole), flat(joined)], flat(grown), grown.append(rows[0])];
        }""",
        [opened_at(history, **head), opened_at(half, **head), rows, layers, head],
    )
    page.close()
    assert width == merge_columns(history).width > 1
    assert masks is False
    for other in one:
        for first, second in zip(other, two, strict=True):
            assert first == pytest.approx(second, abs=5e-3)


def test_what_is_said_of_scores_follows_what_they_are_and_what_chooses_by_them(chromium):
    history = RunHistory()
    history.feed(of_cosines(plain(*simulate(layers=6, steps=30, method="full"))))
    page = scripted(chromium, "numbers", "series", "key", "pointer")
    shades, said, never = page.evaluate(
        """(answer) => {
            const series = new Series(), key = new Key({});
            series.reset(answer);
            key.scale(series, { ramp: ["red", "blue"], frozen: ["red", "blue"] });
            const said = [key.title, key.least, key.most].map((place) => place.textContent);
            const never = ["ir", "rst"].map((method) => {
                let lines;
                const unknown = { row: 0, layer: 0, score: null, trained: true, rows: 6 };
                const pointer = { why: { at: () => unknown }, series: { method, nameOf: String }, show: (told) => (lines = told) };
                Pointer.prototype.hoverRow.call(pointer, {});
                return lines[1];
            });
            return [series.cells.map((row) => Array.from(row)), said, never];
        }""",
        opened_at(history, steps=30, metric="cosine"),
    )
    page.close()
    ratios = (history.scores / history.medians[:, None]).T
    shades = np.array(shades)
    assert shades[np.unravel_index(ratios.argmin(), ratios.shape)] == shades.max()
    assert shades[np.unravel_index(ratios.argmax(), ratios.shape)] == shades.min()
    assert said[0] == "cosine similarity ÷ the step's median, lower is more important"
    assert float(said[1]) > float(said[2])
    assert never == ["never measured: counts as 1000", "never measured"]


def test_a_run_that_waited_has_taken_its_own_time(chromium):
    page = scripted(chromium, "numbers", "series", "header")
    told = page.evaluate(
        """() => {
            const series = new Series();
            series.clear(6, 10);
            series.append([10, 190, 1, 0.5, 100, "3f", "", [1, 1, 1, 1, 1, 1]]);
            const run = { head: { steps: 10 }, state: "finished", series, ending: { time: 200 } };
            return [null, 140].map((began) => facts({ ...run, began }).join(" | "));
        }"""
    )
    page.close()
    assert "| 3 min |" in told[0]
    assert "| 60 s |" in told[1]
