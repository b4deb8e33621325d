"""Row 10 of the drills, in short form."""

from __future__ import annotations

from tests.drill.rolling_drain import DRILLS


async def test_clients_see_no_gap_and_no_failed_send() -> None:
    report = await DRILLS[0].run(DRILLS[0].short)
    assert not any(report.counts.values()), str(report)
    assert report.control, f"the control lost nothing: {report}"
