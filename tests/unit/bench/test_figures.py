"""How figures are summed up and judged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Line, Reading, figure_at_most, percentile, ratio_at_least, summarise
from bench.results import describe_bar


def test_a_ratio_is_the_median_of_the_ratios_to_the_control_taken_next_to_it() -> None:
    line = Line("sends", "sends", "1/s", ratio_at_least(0.2, goal=0.3))
    result = summarise(line, [Reading(30, 100), Reading(10, 50), Reading(25, 100)])
    assert (result.figure, result.control, result.ratio) == (25, 100, 0.25)
    assert (result.lowest, result.highest) == (0.2, 0.3)
    assert result.passed is True
    assert result.reaches_goal is False


@pytest.mark.parametrize(("figure", "passed", "goal"), [(11.0, False, False), (10.0, True, False), (5.0, True, True)])
def test_a_figure_that_should_be_small_is_met_at_its_bar_and_below(figure: float, passed: bool, goal: bool) -> None:
    result = summarise(Line("p99", "p99", "ms", figure_at_most(10, goal=5)), [Reading(figure)])
    assert (result.passed, result.reaches_goal) == (passed, goal)
    assert describe_bar(result) == "≤ 10 ms (goal 5)"


def test_a_saturating_row_with_an_idle_server_gets_no_verdict() -> None:
    """The control was slowed down by other programs: a ratio of 2.5 says nothing about the server."""
    line = Line("sends", "sends", "1/s", ratio_at_least(0.2, goal=0.3))
    result = summarise(line, [Reading(250, 100, busy=0.95), Reading(250, 100, busy=0.4)])
    assert (result.ratio, result.passed, result.reaches_goal) == (2.5, None, None)


def test_a_line_without_a_limit_is_judged_by_nobody() -> None:
    result = summarise(Line("note", "note", "s"), [Reading(1.0)])
    assert result.passed is None
    assert describe_bar(result) == ""


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.floats(0.001, 1))
def test_a_percentile_is_a_value_that_at_least_its_share_does_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6 * len(values)
    assert sum(value < found for value in values) < share * len(values) + 1e-6 * len(values)


def test_percentiles_of_a_hundred_values_are_the_values_themselves() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share / 100) for share in range(1, 101)] == values
