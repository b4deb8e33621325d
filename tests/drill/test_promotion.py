"""A promoted history, in short form."""

from __future__ import annotations

from tests.drill.promotion import DRILLS


async def test_clients_go_on_with_their_cursors_as_if_nothing_had_happened() -> None:
    report = await DRILLS[0].run(DRILLS[0].short)
    assert not any(report.counts.values()), str(report)
    assert report.control, f"the control lost nothing: {report}"
