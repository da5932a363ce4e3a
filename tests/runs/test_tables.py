"""Tables for a terminal, by hand."""

from __future__ import annotations

from irtuning.insight.comparison import compare
from irtuning.runs.tables import ablation_lines, comparison_lines, step_lines
from tests.insight.test_comparison import subject


def test_an_ablation_has_a_row_a_layer_and_a_dash_where_nothing_is_known():
    row = {"layer": 0, "loss_change": 0.1234567, "macro_f1_change": -0.25, "trained_share": 0.5}
    lines = ablation_lines({
        "run": "brisk-otter-3f2a", "corpus": "starter", "rows": 80, "seconds": 1.26, "loss": 0.5, "macro_f1": 0.75,
        "layers": [row, {"layer": 1, "loss_change": None, "macro_f1_change": 0.0, "trained_share": None}],
    })  # fmt: skip
    assert "80 rows of validation of starter, 1.3 s" in lines[0]
    assert "loss 0.5000, macro-F1 0.750" in lines[1]
    assert [line.split() for line in lines[2:]] == [
        ["layer", "loss", "macro-F1", "trained"], ["1", "-", "+0.000", "-"], ["0", "+0.1235", "-0.250", "50%"],
    ]  # fmt: skip


def test_a_comparison_has_runs_overlaps_and_what_seeds_agree_on():
    runs = [subject("a", seed=1, f1=0.4), subject("b", seed=2, f1=0.6), subject("c", tuning_method="full")]
    lines = comparison_lines(compare(runs))
    table = {line.split()[0]: line.split() for line in lines[1:4]}
    assert table["a"][1:6] == ["ir", "1", "0.400", "0.400", "10"]
    assert table["a"][-3:-1] == ["0.50", "x"]
    assert table["c"][1] == "full"
    assert sum(" / " in line for line in lines) == 3
    text = "\n".join(lines)
    assert "one setting, 2 seeds: a, b" in text
    assert "macro-F1: 0.500 (90 %: -0.131 to 1.131)" in text
    assert "cost: a token's time against that of c;" in text
    assert "None" not in text
    runs = [subject("a", seed=1, f1=0.4), subject("b", seed=2, f1=0.6), subject("d", seed=3)]
    object.__setattr__(runs[-1], "metrics", None)
    assert "macro-F1: 0.500 (90 %: -0.131 to 1.131), of 2 of them" in "\n".join(comparison_lines(compare(runs)))
    unscored = [subject("a"), subject("b", seed=2)]
    for run in unscored:
        object.__setattr__(run, "metrics", None)
    assert "None" not in "\n".join(comparison_lines(compare(unscored)))
    strangers = comparison_lines(compare([subject("a"), subject("b", model_name="x")]))
    assert any("no two runs share model, corpus and device" in line for line in strangers)


def test_a_step_has_a_column_a_layer_and_says_how_it_was_split():
    step = {
        "step": 2, "unit": "layer", "before": [0.5, 1000.0, 2.0], "by": "scores", "ranks": [0, 2, 1], "why": "because", "selected": [1, 2],
        "split": [{"rank": 1, "low_variance": 0.0, "high_variance": 249001.0}], "lower": [1], "measured": [None, 0.25, 1.75],
    }  # fmt: skip
    drawn = {**step, "step": 1, "ranks": None, "split": None, "lower": []}
    lines = step_lines([drawn, step])
    assert lines[0] == "step 1: because"
    assert lines[6] == ""
    assert lines[7:9] == ["step 2: because", "split at rank 1: variances 0 of the lower 1, 249001 of the others"]
    for by in ("random numbers", "relative scores"):
        assert step_lines([{**step, "by": by, "ranks": None}])[1].startswith(f"{by} split at rank 1: ")
    assert [line.split() for line in lines[9:]] == [
        ["layer", "0", "1", "2"], ["before", "0.500000", "1000.000000", "2.000000"], ["rank", "0", "2", "1"],
        ["trained", "yes", "yes"], ["measured", "-", "0.250000", "1.750000"],
    ]  # fmt: skip
