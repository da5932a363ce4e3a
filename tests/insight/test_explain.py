"""Why these layers: numbers and sentences."""

from __future__ import annotations

import numpy as np
import pytest

from irtuning.events import Step
from irtuning.insight.explain import explain, step_by_step
from irtuning.insight.history import RunHistory
from irtuning.tuning.selection import select_layers
from tests.simulated import plain, simulate

IR = {"tuning_method": "ir", "importance_metric_name": "gradient", "split_num": 1, "boundary": "reference"}


def folded(**values):
    history = RunHistory()
    history.feed(plain(*simulate(**values)))
    return history


def by_hand(*steps):
    """A history of (scores, selected, moved, rate) a step."""
    history = RunHistory()
    history.feed(plain(*(
        Step(step=number, epoch=0, loss=1.0, learning_rate=rate, scores=scores, selected=selected, moved=moved, seconds=1,
             tokens=1, memory_mib=1)
        for number, (scores, selected, moved, rate) in enumerate(steps, start=1)
    )))
    return history


def test_the_first_choice_is_random():
    told = explain(folded(steps=3), 1, IR)
    assert told["sentence"] == "Nothing was measured yet: the first choice is random."
    assert told["curve"] is None
    assert told["minimum"] is None
    assert set(told["ranked"]) == {None}
    kept = told["kept"]
    assert told["trained"] == [True] * kept + [False] * (30 - kept)


def test_layers_never_measured_count_as_1000_and_stand_on_top():
    history = folded(steps=3)
    told = explain(history, 2, IR)
    unknown = int((~history.selected[0]).sum())
    assert told["ranked"][:unknown] == [None] * unknown
    assert None not in told["ranked"][unknown:]
    assert told["sentence"].startswith(f"{unknown} layers were never measured yet: they count as 1000 and rank first. Least variance")


@pytest.mark.parametrize("boundary", ["reference", "exact"])
@pytest.mark.parametrize("splits", [1, 2])
def test_every_step_of_a_run_is_explained_by_the_split_that_made_it(boundary, splits):
    history = folded(steps=40, splits=splits, boundary=boundary)
    settings = {**IR, "split_num": splits, "boundary": boundary}
    for step in range(2, 41):
        told = explain(history, step, settings)
        chosen = {layer for layer, trains in zip(told["order"], told["trained"], strict=True) if trains}
        assert chosen == set(np.flatnonzero(history.selected[step - 1]).tolist())
        assert told["trained"] == [True] * told["kept"] + [False] * (30 - told["kept"])
        assert "would not have led" not in told["sentence"]
        low, high = told["window"]
        assert low <= high
        assert told["curve"][told["minimum"] - 1] == min(told["curve"][low - 1 : high])
        if boundary == "reference":
            assert told["kept"] == told["minimum"] + 1


def test_curve_is_the_variance_left_by_keeping_the_upper_k():
    history = folded(steps=12, layers=9)
    told = explain(history, 12, IR)
    ranked = np.array(told["ranked"])
    for k in range(1, 9):
        np.testing.assert_allclose(told["curve"][k - 1], ranked[:k].var() + ranked[k:].var())


def test_sentence_of_one_split():
    scores = [0.1, 0.11, 0.12, 0.9, 0.91, 0.92]
    layers = list(select_layers(scores).layers)
    history = by_hand((scores, list(range(6)), list(range(6)), 1e-3), ([None] * 6, layers, layers, 1e-3))
    told = explain(history, 2, IR)
    assert told["sentence"] == "Least variance: the lower 3 against the upper 3. The paper's code trains one layer more: 4 of 6."
    assert told["since"] == [1] * 6
    exact = list(select_layers(scores, boundary="exact").layers)
    history = by_hand((scores, list(range(6)), list(range(6)), 1e-3), ([None] * 6, exact, exact, 1e-3))
    told = explain(history, 2, {**IR, "boundary": "exact"})
    assert told["sentence"] == "Least variance: the lower 3 against the upper 3. The upper 3 of 6 train."


def test_sentence_of_two_splits():
    told = explain(folded(steps=10, splits=2), 10, {**IR, "split_num": 2})
    assert told["sentence"].startswith("Split 1 keeps ")
    assert f"{told['kept']} of 30 layers train." in told["sentence"]


def test_full_trains_all_and_says_so():
    told = explain(folded(steps=5, method="full"), 5, {**IR, "tuning_method": "full"})
    assert told["sentence"] == "Every layer trains at every step."
    assert told["curve"] is None
    assert told["kept"] == 30
    assert told["proof"] == "All 30 layers trained, and all moved."
    assert told["ranked"] == sorted(told["ranked"], reverse=True)


def test_a_model_with_one_layer_has_nothing_to_split():
    history = by_hand(([0.5], [0], [0], 1e-3), ([0.4], [0], [0], 1e-3))
    told = explain(history, 2, IR)
    assert told["sentence"] == "With 1 layer there is nothing to split: all train."
    assert told["proof"] == "The one layer trained and moved."
    assert told["curve"] is None


def test_layers_that_these_scores_do_not_lead_to_are_not_explained_away():
    scores = [0.1, 0.11, 0.12, 0.9, 0.91, 0.92]
    history = by_hand((scores, list(range(6)), list(range(6)), 1e-3), ([None] * 6, [0], [0], 1e-3))
    told = explain(history, 2, IR)
    assert "would not have led" in told["sentence"]
    assert told["curve"] is None


@pytest.mark.parametrize(
    ("selected", "moved", "rate", "proof", "alarm"),
    [
        ([1, 2], [1, 2], 1e-3, "2 layers frozen in this step: not one of their weights moved. The 2 trained ones did.", False),
        ([1, 2, 3], [1, 2, 3], 1e-3, "1 layer frozen in this step: not one of its weights moved. The 3 trained ones did.", False),
        ([1, 2], [], 0.0, "Nothing moved in this step: the warm-up's learning rate is still 0.", False),
        ([1, 2], [], 1e-3, "Nothing moved in this step: no trained layer's weights changed.", False),
        ([1, 2], [2], 1e-3, "2 layers frozen in this step: not one of their weights moved. Of the 2 trained ones 1 moved.", False),
        ([1, 2], [0, 1, 2], 1e-3, "Frozen, yet moved: layer 0. This must not happen.", True),
        ([], [], 1e-3, "4 layers frozen in this step: not one of their weights moved. None trained.", False),
    ],
)
def test_proof(selected, moved, rate, proof, alarm):
    told = explain(by_hand(([0.1, 0.2, 0.3, 0.4], selected, moved, rate)), 1, IR)
    assert (told["proof"], told["alarm"]) == (proof, alarm)


def test_a_step_not_on_record():
    with pytest.raises(KeyError):
        explain(folded(steps=3), 4, IR)


def test_steps_one_by_one_hold_what_a_choice_was_made_of():
    """Six layers by hand: [1, 2, 3, 4, 8, 9] splits least after the fourth, rank 3; the reference takes one layer more."""
    history = by_hand(
        ([1.0, 2.0, 3.0, 4.0, 8.0, 9.0], [0, 1, 2, 3, 4, 5], [], 0.0),
        ([None, None, None, 5.0, 7.0, 9.5], [3, 4, 5], [3, 4, 5], 1e-3),
    )
    first, second = step_by_step(history, IR, [1, 2])
    assert first["before"] == [1000.0] * 6
    assert (first["by"], first["ranks"]) == ("random numbers", None)
    assert second["before"] == [1.0, 2.0, 3.0, 4.0, 8.0, 9.0]
    assert (second["by"], second["ranks"]) == ("scores", [0, 1, 2, 3, 4, 5])
    (relative,) = step_by_step(history, {**IR, "relative_to": "own-mean"}, [2])
    assert (relative["by"], relative["ranks"]) == ("relative scores", None)
    assert second["selected"] == list(select_layers(second["before"]).layers) == [3, 4, 5]
    assert second["measured"] == [None, None, None, 5.0, 7.0, 9.5]
    with pytest.raises(KeyError):
        step_by_step(history, IR, [3])


@pytest.mark.parametrize("boundary", ["reference", "exact"])
@pytest.mark.parametrize("split_num", [1, 2])
def test_variances_of_a_split_are_those_of_as_many_lower_ones_as_it_tells(boundary, split_num):
    scores = [0.3, 9.0, 0.1, 4.0, 4.5, 0.2, 8.0, 0.5, 5.0, 9.5, 0.4, 8.5]
    found = select_layers(scores, splits=split_num, boundary=boundary)
    event = {"kind": "step", "epoch": 0, "loss": 1.0, "learning_rate": 0.1, "moved": [], "seconds": 1, "tokens": 1, "memory_mib": 1}
    history = RunHistory()
    history.feed([
        {**event, "step": 1, "scores": scores, "selected": list(range(12))},
        {**event, "step": 2, "scores": scores, "selected": list(found.layers),
         "split": [{"rank": r.rank, "low_variance": r.low_variance, "high_variance": r.high_variance} for r in found.rounds]},
    ])
    (step,) = step_by_step(history, {**IR, "split_num": split_num, "boundary": boundary}, [2])
    assert len(step["lower"]) == split_num
    ranked = sorted(step["before"])
    for told, lower, taken in zip(step["split"], step["lower"], found.rounds, strict=True):
        assert told["low_variance"] == pytest.approx(np.var(ranked[:lower]))
        assert told["high_variance"] == pytest.approx(np.var(ranked[lower:]))
        ranked = ranked[taken.rank :]


def test_parts_of_layers_are_called_by_their_names():
    history = RunHistory()
    history.feed([
        {"kind": "run_started", "layers": 2, "layer_names": ["m.layer.0", "m.layer.1"], "unit": "block",
         "unit_names": ["m.layer.0.attention", "m.layer.0.mlp", "m.layer.1.attention", "m.layer.1.mlp"]},
        {"kind": "step", "step": 1, "epoch": 0, "loss": 1.0, "learning_rate": 1e-3, "scores": [1.0, None, 2.0, 3.0],
         "selected": [0, 2, 3], "moved": [0, 2, 3], "seconds": 1, "tokens": 1, "memory_mib": 1},
    ])
    assert history.names == ["layer 0 attention", "layer 0 mlp", "layer 1 attention", "layer 1 mlp"]
    told = explain(history, 1, {**IR, "selection_unit": "block"})
    assert told["proof"] == "1 block frozen in this step: not one of its weights moved. The 3 trained ones did."


def test_steps_ranked_by_weights_are_told_with_them_from_the_first_on():
    weights = [3.0, 1.0, 2.0, 4.0]
    chosen = list(select_layers(weights, metric="weight").layers)
    history = by_hand((weights, chosen, chosen, 0.1), (weights, chosen, chosen, 0.1))
    for step in step_by_step(history, {**IR, "importance_metric_name": "weight"}, [1, 2]):
        assert step["before"] == weights
        assert step["ranks"] == [2, 0, 1, 3]
