"""Limits in seconds are stretched on a slow machine, and no further than they say something."""

from __future__ import annotations

import pytest

from tests import pace


@pytest.mark.parametrize(("seconds", "expected"), [(0.5, 1.0), (1.0, 1.0), (2.5, 2.5), (9.0, 4.0)])
def test_a_slow_machine_stretches_limits_and_a_fast_one_does_not_shrink_them(monkeypatch, seconds, expected):
    monkeypatch.setattr(pace, "_seconds", lambda: seconds * pace.REFERENCE)
    assert pace.slowness() == pytest.approx(expected)


def test_it_is_measured():
    assert 1 <= pace.slowness() <= pace.MOST
    assert pace._seconds() > 0
