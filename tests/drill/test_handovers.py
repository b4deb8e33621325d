"""Row 3 of the drills, in short form."""

from __future__ import annotations

from tests.drill.handovers import DRILLS, run


async def test_the_invariant_of_a_session_holds_at_random_yields_where_two_phases_break_it() -> None:
    report = await run(DRILLS[0].short)
    assert not any(report.counts.values()), str(report)
    assert report.control
