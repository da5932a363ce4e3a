import pytest

from irtuning import catalogue
from irtuning.config import RunConfig
from irtuning.errors import CorpusError, RunError
from irtuning.insight.estimate import Sizes
from irtuning.ui import limits


def test_a_public_host_bounds_the_steps_of_every_run():
    def steps(rows, **values):
        return limits.strict(RunConfig(**values)).resolve().steps(rows)

    assert steps(447) == RunConfig().resolve().steps(447) == 168
    assert steps(10_000) == steps(10_000, step_limit=9_999) == 300
    assert steps(447, max_steps=20) == steps(447, step_limit=20) == 20
    assert limits.strict(RunConfig(save_steps=1)).save_steps == 0
    for name in catalogue.EMBEDDED:
        assert limits.strict(RunConfig(model_name=name)).model_name == name


def test_the_queue_of_a_public_host_has_an_end():
    ended = [{"state": state} for state in ("finished", "stopped", "failed", "lost")] * 50
    waiting = [{"state": "running"}, *[{"state": "queued"}] * (limits.MOST_OPEN - 2)]
    limits.refuse_when_full([*ended, *waiting])
    with pytest.raises(RunError, match="Try again"):
        limits.refuse_when_full([*ended, *waiting, {"state": "queued"}])


def test_a_file_of_too_many_rows_is_refused_and_so_is_one_that_was_not_counted():
    limits.refuse_large(Sizes(limits.MOST_ROWS - 2, 1, 1, 40.0))
    for sizes in (Sizes(limits.MOST_ROWS - 1, 1, 1, 40.0), None):
        with pytest.raises(CorpusError, match="20,000 rows"):
            limits.refuse_large(sizes)
