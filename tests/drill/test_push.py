"""Row 22 of the drills, in short form: 2 rounds with 200 registered devices."""

from __future__ import annotations

from tests.drill import push


async def test_every_sleeping_device_with_news_is_woken_and_at_most_twice() -> None:
    [drill] = push.DRILLS
    report = await drill.run(drill.short)
    assert not any(report.counts.values()), str(report)
    assert report.control, "the control lost nothing: this drill can't fail"
