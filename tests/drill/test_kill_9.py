"""Row 1 of the drills, in short form: 20 rounds of 500 sends."""

from __future__ import annotations

from tests.drill.kill_9 import DRILLS, kill_9


async def test_every_acknowledged_activity_is_there_once_after_kill_9() -> None:
    report = await kill_9(DRILLS[0].short)
    assert not any(report.counts.values()), str(report)
    assert report.control, "the control lost nothing: this drill can't fail"
    assert report.seen["acknowledged"] > 0
