"""The drills of a single node, in short form."""

from __future__ import annotations

import asyncio

import pytest

from tests.drill import (
    clients,
    clock_turned,
    commit_order_sqlite,
    conformance,
    disk_full,
    fault_proxy,
    fuzz,
    fuzz_forms,
    read_only,
    sealed_interleavings,
    sessions_model,
    soak,
    stalled,
    unread,
)
from tests.drill.drills import Drill

MODULES = (
    commit_order_sqlite, sessions_model, fault_proxy, stalled, disk_full, read_only, clock_turned, fuzz, fuzz_forms,
    conformance, soak, unread, clients, sealed_interleavings,
)  # fmt: skip
ALONE = (read_only.run_emergency, conformance.run_autobahn, soak.run)
"""Of no use in small: they need a loop device, another program, or minutes. `make drill` runs them."""
DRILLS = [drill for module in MODULES for drill in module.DRILLS if drill.run not in ALONE]


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: f"{drill.row}: {drill.title}")
async def test_nothing_is_lost_and_nothing_let_in(drill: Drill) -> None:
    report = await drill.run(drill.short)
    assert not any(report.counts.values()), str(report)
    if report.not_run:  # mounts and file flags are a privilege; the size limit of row 8 is tried everywhere
        assert drill.row == 8
        return
    assert report.control != 0, "the control lost nothing: this drill can't fail"


@pytest.mark.parametrize("seed", [35_334])
def test_a_history_that_once_lost_a_message_loses_none(seed: int) -> None:
    """35,334: a device that was removed sent, and was linked again; what it sent then could not be opened."""
    problems = asyncio.run(sealed_interleavings.interleaving(seed)).problems
    assert not any(problems.values()), problems
