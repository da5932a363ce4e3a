"""What a run prints on a terminal."""

import io

from irtuning.events import Failed, Notice, RunStarted, Step, Stopped
from irtuning.runs.terminal import Terminal


def test_the_time_left_is_foretold_by_the_last_steps_and_not_by_a_short_one():
    out = io.StringIO()
    terminal = Terminal("calm-heron-0a0a", every=10, out=out)
    terminal.take(RunStarted(
        layers=4, layer_names=["a", "b", "c", "d"], parameters_trainable=1, parameters_total=2, device="cpu", dtype="float32", steps=100,
        corpus_sizes={"train": 1, "validation": 1, "test": 1}, labels=["x", "y"],
    ))
    for number in range(1, 51):
        # Every tenth batch is the short last one of an epoch; the first steps, which load much, are slow.
        seconds = 9.0 if number <= 10 else 0.1 if number % 10 == 0 else 1.0
        terminal.take(Step(
            step=number, epoch=0, loss=1.0, learning_rate=0.1, scores=[1.0] * 4, selected=[0], moved=[0], seconds=seconds, tokens=1,
            memory_mib=1.0,
        ))
    last = out.getvalue().splitlines()[-1]
    assert "step 50/100" in last
    assert "0.91 s a step  46 s left" in last


class Gone(io.StringIO):
    """A pipe whose reader has left after a line."""

    def write(self, text):
        if "\n" in self.getvalue():
            raise BrokenPipeError
        return super().write(text)


def test_a_run_goes_on_when_nobody_reads_any_more(tmp_path):
    out = Gone()
    terminal = Terminal("calm-heron-0a0a", every=10, out=out)
    for text in ("one", "two", "three"):
        terminal.take(Notice(text=text))
    assert out.getvalue() == "calm-heron-0a0a  one\n"
    assert terminal.close(tmp_path) == {}


def test_signs_that_the_output_does_not_know_are_replaced():
    inner = io.BytesIO()
    terminal = Terminal("calm-heron-0a0a", every=10, out=io.TextIOWrapper(inner, encoding="ascii"))
    terminal.take(Notice(text="loading …"))
    terminal.take(Notice(text="two"))
    assert inner.getvalue().decode() == "calm-heron-0a0a  loading ?\ncalm-heron-0a0a  two\n"


def test_why_a_run_failed_goes_where_errors_go():
    out, err = io.StringIO(), io.StringIO()
    terminal = Terminal("calm-heron-0a0a", every=10, out=out, err=err)
    terminal.take(Failed(what="The disk is full.", advice="Make room."))
    terminal.take(Stopped(what="It was stopped."))
    assert err.getvalue() == "calm-heron-0a0a  The disk is full. Make room.\n"
    assert out.getvalue() == "calm-heron-0a0a  It was stopped.\n"


def test_of_a_run_that_went_on_the_steps_before_are_drawn_too(tmp_path):
    out = io.StringIO()
    terminal = Terminal("calm-heron-0a0a", every=10, out=out)
    terminal.recall([[0], [0], [0, 1]])
    terminal.take(Step(
        step=4, epoch=0, loss=1.0, learning_rate=0.1, scores=[1.0] * 2, selected=[1], moved=[1], seconds=1, tokens=1, memory_mib=1.0,
    ))
    terminal.take(RunStarted(
        layers=2, layer_names=["a", "b"], parameters_trainable=1, parameters_total=2, device="cpu", dtype="float32", steps=4,
        corpus_sizes={"train": 1, "validation": 1, "test": 1}, labels=["x", "y"],
    ))
    terminal.close(tmp_path)
    assert [line[-4:] for line in out.getvalue().splitlines()[-2:]] == ["  ██", "███ "]
