from hypothesis import given
from hypothesis import strategies as st

from irtuning.tuning.schedule import FORWARD_SHARE, SHARE, TIMES, evaluation_steps


@given(st.integers(1, 2000), st.integers(1, 64), st.integers(1, 2000))
def test_the_last_step_is_always_evaluated_and_the_cost_is_bounded(steps, rows, validation):
    when = evaluation_steps(steps, rows, validation)
    assert when[-1] == steps
    assert when == sorted(set(when))
    assert 1 <= len(when) <= TIMES
    assert when[0] >= 1
    if len(when) > 1:
        assert len(when) * validation * FORWARD_SHARE <= SHARE * steps * rows + 1e-6


def test_by_hand():
    assert evaluation_steps(60, 16, 335) == [60]
    assert evaluation_steps(60, 16, 60) == [10, 20, 30, 40, 50, 60]
