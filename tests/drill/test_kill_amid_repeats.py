"""Row 23 of the drills, in short form: 4 rounds of 600 sends, half of them repeats."""

from __future__ import annotations

from tests.drill import kill_amid_repeats


async def test_no_activity_is_stored_twice_after_kill_9_amid_repeats() -> None:
    [drill] = kill_amid_repeats.DRILLS
    report = await drill.run(drill.short)
    assert not any(report.counts.values()), str(report)
    assert report.control, "the control stored nothing twice: this drill can't fail"
    assert report.seen["acknowledged"] > 0
    assert report.seen["killed with a tail"] > 0, str(report)
