import numpy as np

from irtuning.config import RunConfig
from irtuning.tuning.policies import FullPolicy, IRPolicy, make_policy
from irtuning.tuning.selection import select_layers


def test_the_first_choice_is_random_and_of_the_seed():
    first = [IRPolicy(30, seed=s).choose().layers for s in (1, 1, 2)]
    assert first[0] == first[1] != first[2]


def test_old_scores_are_carried_over_and_unmeasured_layers_count_as_1000():
    policy = IRPolicy(6)
    policy.observe([0.5, None, 0.4, None, None, 0.1])
    assert policy.scores.tolist() == [0.5, 1000, 0.4, 1000, 1000, 0.1]
    assert policy.choose().layers == select_layers([0.5, 1000, 0.4, 1000, 1000, 0.1]).layers
    policy.observe([None, 0.2, None, None, None, None])
    assert policy.scores[0] == 0.5
    assert policy.scores[1] == 0.2


def test_a_choice_carries_its_split():
    policy = IRPolicy(6)
    policy.observe([1, 2, 3, 10, 11, 12])
    (only,) = policy.choose().split
    selection = select_layers([1, 2, 3, 10, 11, 12])
    assert (only.rank, only.low_variance, only.high_variance) == (
        selection.rank,
        selection.low_variance,
        selection.high_variance,
    )
    assert len(IRPolicy(12, splits=2).choose().split) == 2


def test_state_goes_on_where_it_was():
    one = IRPolicy(8, seed=3)
    one.choose()
    two = IRPolicy(8, seed=99)
    two.load_state_dict(one.state_dict())
    assert one.choose() == two.choose()
    assert np.array_equal(one.scores, two.scores)


def test_make_policy_follows_the_config():
    full = make_policy(RunConfig(tuning_method="full").resolve(), 5)
    assert isinstance(full, FullPolicy)
    assert full.choose().layers == (0, 1, 2, 3, 4)
    assert full.choose().split is None
    exact = make_policy(RunConfig(boundary="exact").resolve(), 6)
    exact.observe([1, 2, 3, 10, 11, 12])
    assert exact.choose().layers == (3, 4, 5)
