"""Row 1 of the drills, in short form: 6 rounds of 500 sends on SQLite, a few on PostgreSQL."""

from __future__ import annotations

import pytest

from tests.drill import kill_9, kill_9_postgres
from tests.drill.drills import Drill


@pytest.mark.parametrize("drill", [*kill_9.DRILLS, *kill_9_postgres.DRILLS], ids=["sqlite", "postgresql"])
async def test_every_acknowledged_activity_is_there_once_after_kill_9(drill: Drill) -> None:
    report = await drill.run(drill.short)
    assert not any(report.counts.values()), str(report)
    assert report.control, "the control lost nothing: this drill can't fail"
    assert report.seen["acknowledged"] > 0
