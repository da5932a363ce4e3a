"""What the Runs page asks for when a run is made again, without a browser."""

from pathlib import Path

import pytest

from irtuning.config import RunConfig
from irtuning.runs.store import RunStore
from irtuning.ui.corpus import keep, uploaded
from irtuning.ui.runs import request_of
from irtuning.ui.studio import Studio


@pytest.fixture
def studio(tmp_path):
    return Studio(RunStore(tmp_path / "runs"), None, None, None, lambda: True)


@pytest.mark.parametrize("preset", ["thirty-seconds", "real-llm", "steady", "paper"])
def test_a_run_made_again_has_the_same_settings_whatever_preset_filled_them_in(studio, preset):
    first = studio.store.create(RunConfig(seed=3), preset=preset)
    request, name = request_of(studio, first)
    second = studio.store.create(request, preset=name or None)
    assert studio.store.run_config(second) == studio.store.run_config(first)


def test_a_run_on_an_uploaded_file_is_known_as_one(studio, tmp_path):
    sent = tmp_path / "mine.csv"
    sent.write_text("before,after,label\na,b,x\n")
    kept = keep(sent, studio.store.home)
    run = studio.store.create(RunConfig(model_name="minilm", dataset_name=str(kept)))
    request, _ = request_of(studio, run)
    assert Path(request.dataset_name) == kept.absolute()
    assert uploaded(request.dataset_name, studio.store.home)
    assert not uploaded(str(sent), studio.store.home)
    assert not uploaded("starter", studio.store.home)
