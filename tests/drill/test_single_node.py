"""The drills of a single node, in short form."""

from __future__ import annotations

import pytest

from tests.drill import clock_turned, commit_order_sqlite, disk_full, fault_proxy, fuzz, sessions_model, stalled
from tests.drill.drills import Drill

MODULES = (commit_order_sqlite, sessions_model, fault_proxy, stalled, disk_full, clock_turned, fuzz)
DRILLS = [drill for module in MODULES for drill in module.DRILLS]


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: f"{drill.row}: {drill.title}")
async def test_nothing_is_lost_and_nothing_let_in(drill: Drill) -> None:
    report = await drill.run(drill.short)
    assert not any(report.counts.values()), str(report)
    assert report.control != 0, "the control lost nothing: this drill can't fail"
