"""The paper's rule as a policy: split the units by the variance of their scores and train the important side. Knows no model."""

from __future__ import annotations

from irtuning.events import SplitRound
from irtuning.tuning.policies import Choice, ScoredPolicy
from irtuning.tuning.selection import Boundary, Metric, Selection, select_layers


class IRPolicy(ScoredPolicy):
    """Splits the scores as they stand, once or twice, and trains the important side.

    Scores of units that were not measured are carried over; all start at 1000. While every score still has that value, the
    units are ranked by random numbers instead.
    """

    def __init__(
        self,
        units: int,
        *,
        metric: Metric = "gradient",
        splits: int = 1,
        boundary: Boundary = "reference",
        seed: int = 171,
    ) -> None:
        super().__init__(units, seed=seed)
        self._metric, self._splits, self._boundary = metric, splits, boundary

    def choose(self) -> Choice:
        """The important side of the split."""
        selection = select_layers(self.ranked(), metric=self._metric, splits=self._splits, boundary=self._boundary)
        return Choice(selection.layers, split_rounds(selection))


def split_rounds(selection: Selection) -> tuple[SplitRound, ...] | None:
    """The rounds of a selection in which a split decided, None where none did."""
    rounds = tuple(
        SplitRound(rank=r.rank, low_variance=r.low_variance, high_variance=r.high_variance)
        for r in selection.rounds
        if r.rank is not None
    )
    return rounds or None
