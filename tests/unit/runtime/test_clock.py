"""What is done every so often, by a wall clock that may be turned."""

from __future__ import annotations

from server.runtime.clock import Every


def test_it_is_due_at_first_and_then_after_each_interval() -> None:
    now = [1_000]
    every = Every(100, lambda: now[0])
    due = []
    for now[0] in (1_000, 1_001, 1_099, 1_100, 1_199, 1_200):
        due.append(every.is_due())
    assert due == [True, False, False, True, False, True]


def test_a_clock_that_was_set_back_makes_it_due_at_once() -> None:
    now = [9_000_000]
    every = Every(100, lambda: now[0])
    assert every.is_due()
    now[0] = 1_000
    assert every.is_due()
    assert not every.is_due()
    now[0] = 1_100
    assert every.is_due()
