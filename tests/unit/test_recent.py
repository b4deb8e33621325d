"""What happened a moment ago, in bounded memory."""

from __future__ import annotations

from server.services.recent import Recent


def test_a_mark_lasts_for_the_window() -> None:
    recent = Recent(10, 100)
    recent.mark(["a"], 1_000)
    assert recent.has_any(["x", "a"], 1_009)
    assert not recent.has_any(["a"], 1_010)
    assert not recent.has_any(["x"], 1_000)
    assert not recent.has_any([], 1_000)


def test_marking_again_moves_the_window() -> None:
    recent = Recent(10, 100)
    recent.mark(["a"], 1_000)
    recent.mark(["a"], 1_005)
    assert recent.has_any(["a"], 1_014)


def test_the_oldest_marks_are_forgotten_first() -> None:
    recent = Recent(10, 2)
    recent.mark(["a", "b"], 0)
    recent.mark(["a", "c"], 1)
    assert not recent.has_any(["b"], 1)
    assert recent.has_any(["a"], 1)
    assert recent.has_any(["c"], 1)


def test_a_clock_that_was_set_back_forgets() -> None:
    recent = Recent(10, 100)
    recent.mark(["a"], 1_000_000)
    assert not recent.has_any(["a"], 0)
