"""A run that breaks: one sentence for people, the details in its folder."""

import pytest

from irtuning.config import RunConfig
from irtuning.events import Finished
from irtuning.runs import conduct
from irtuning.runs.stopping import StopSignal
from irtuning.runs.store import EventLog, store_lock
from irtuning.runs.worker import work
from irtuning.tuning import training


@pytest.mark.parametrize(("broken", "error", "says"), [
    ((conduct, "conduct"), RuntimeError, "The run broke with RuntimeError"),
    ((training, "fit"), RuntimeError, "Training broke with RuntimeError"), ((training, "fit"), OSError, "Training broke with OSError"),
])
def test_what_broke_is_kept_in_the_runs_folder_and_not_shown(store, model_dirs, corpus_dir, monkeypatch, capfd, broken, error, says):
    def breaks(*args, **kwargs):
        raise error("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(*broken, breaks)
    monkeypatch.setattr(StopSignal, "listen", lambda self: None)
    asked = {"model_name": str(model_dirs("bert")), "dataset_name": str(corpus_dir), "max_length": 64, "device": "cpu"}
    run = store.create(RunConfig(**asked))
    assert work(store.path(run)) == 1
    ending = store.all_events(run)[-1]
    assert says in ending["what"]
    assert "worker.log" in ending["advice"]
    assert "mat1 and mat2" in (store.path(run) / "worker.log").read_text()
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_second_interruption_ends_it_at_once_and_says_so(store, small, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(conduct, "conduct", interrupted)
    monkeypatch.setattr(StopSignal, "listen", lambda self: None)
    run = store.create(small)
    assert work(store.path(run)) == 130
    assert "at once" in store.all_events(run)[-1]["what"]


def test_the_first_signal_asks_and_the_second_interrupts(tmp_path):
    asked = StopSignal(tmp_path)
    assert not asked()
    asked._on_signal(2, None)
    assert asked()
    with pytest.raises(KeyboardInterrupt):
        asked._on_signal(2, None)


def test_a_run_that_was_brought_to_its_end_while_this_process_waited_is_not_trained_again(store, small, monkeypatch):
    monkeypatch.setattr(conduct, "conduct", lambda *args, **kwargs: pytest.fail("trained again"))
    monkeypatch.setattr(StopSignal, "listen", lambda self: None)
    run = store.create(small)
    held = store_lock(store.home, "another-otter")
    held.__enter__()

    def ends(holder):
        EventLog(store.path(run)).append(Finished(what="Done."))
        held.__exit__(None, None, None)

    assert work(store.path(run), waiting=ends) == 0
    assert store.all_events(run)[-1]["kind"] == "finished"
