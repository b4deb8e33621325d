"""Row 2 of the drills, in short form."""

from __future__ import annotations

from tests.drill.commit_order import DRILLS, race
from tests.servers.postgres import PostgresServer


async def test_a_reader_misses_nothing_where_a_plain_sequence_loses(postgres_server: PostgresServer) -> None:
    report = await race(postgres_server, DRILLS[0].short)
    assert report.counts == {"missed": 0, "doubled or reordered": 0}
    assert report.control
