"""Row 6 of the drills, in short form."""

from __future__ import annotations

import pytest

from tests.drill.bus_and_database import DRILLS
from tests.drill.drills import Drill


@pytest.mark.parametrize("drill", DRILLS, ids=[drill.title for drill in DRILLS])
async def test_nothing_is_missed_and_the_control_fails(drill: Drill) -> None:
    report = await drill.run(drill.short)
    assert not any(report.counts.values()), str(report)
    assert report.control, f"the control lost nothing: {report}"
