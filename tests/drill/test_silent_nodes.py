"""Row 18 of the drills, in short form."""

from __future__ import annotations

import pytest

from tests.drill.drills import Drill
from tests.drill.silent_nodes import DRILLS

# A killed node is in test_kill_9.py; its new process takes longer to start than a short form may.
SHORT = DRILLS[:2]


@pytest.mark.parametrize("drill", SHORT, ids=[drill.title for drill in SHORT])
async def test_the_others_go_on_and_the_control_fails(drill: Drill) -> None:
    report = await drill.run(drill.short)
    assert not any(report.counts.values()), str(report)
    assert report.control, f"the control lost nothing: {report}"
