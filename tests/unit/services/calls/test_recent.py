"""What happened a moment ago, in bounded memory."""

from __future__ import annotations

from server.services.calls.recent import Recent


def test_a_mark_lasts_for_its_window() -> None:
    recent: Recent[str] = Recent(100)
    recent.mark(["a"], 1_000, 10, "one")
    recent.mark(["b"], 1_000, 20, "two")
    assert recent.find(["x", "a"], 1_009) == "one"
    assert recent.find(["a", "b"], 1_010) == "two"
    assert recent.find(["x"], 1_000) is None
    assert recent.find([], 1_000) is None


def test_marking_again_moves_the_window() -> None:
    recent: Recent[str] = Recent(100)
    recent.mark(["a"], 1_000, 10, "one")
    recent.mark(["a"], 1_005, 10, "two")
    assert recent.find(["a"], 1_014) == "two"


def test_the_oldest_marks_are_forgotten_first() -> None:
    recent: Recent[str] = Recent(2)
    recent.mark(["a", "b"], 0, 10, "one")
    recent.mark(["a", "c"], 1, 10, "two")
    assert recent.find(["b"], 1) is None
    assert recent.find(["a"], 1) == recent.find(["c"], 1) == "two"


def test_a_clock_that_was_set_back_forgets() -> None:
    recent: Recent[str] = Recent(100)
    recent.mark(["a"], 1_000_000, 10, "one")
    assert recent.find(["a"], 0) is None


def test_a_mark_can_be_taken_back() -> None:
    recent: Recent[str] = Recent(100)
    recent.mark(["a", "b"], 0, 10, "one")
    recent.forget(["a", "x"])
    assert recent.find(["a"], 0) is None
    assert recent.find(["b"], 0) == "one"
