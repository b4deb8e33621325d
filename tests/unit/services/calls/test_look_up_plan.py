"""The cost of look-ups: tables are searched by an index whatever statistics there are, and statements stay prepared."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from storage.migrate import migrate, steps
from storage.sqlite.connection import DriverConnection, connect
from storage.sqlite.database import SqliteDatabase
from storage.telephony.callers import MAX_ASKS, Ask, CallerStore, statement
from storage.telephony.calls import CallRow, CallStore, NewCall


def test_no_table_is_scanned() -> None:
    with closing(connect(Path(":memory:"))) as connection:
        for step in steps("sqlite"):
            for part in step.statements:
                connection.execute(part)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement('sqlite', 4)}", [""] * 16)]
    assert any("SEARCH phone USING COVERING INDEX phone_line (<expr>=? AND person_id=?" in line for line in plan), plan
    assert any("SEARCH buzz_number USING INDEX buzz_number_line" in line for line in plan), plan
    assert plan.count("MATERIALIZE callee") == 1, plan
    # An index on what many rows have in common is as good as none.
    assert not [line for line in plan if re.search(r"\((state|owner_kind)=\?\)", line)], plan
    assert not [line for line in plan if "AUTOMATIC" in line or "TEMP B-TREE" in line], plan
    # What the question itself brings may be walked; a table may not.
    scanned = {match[1] for line in plan if (match := re.match(r"SCAN (\w+)", line))}
    assert scanned <= {"4", "v", "ask", "callee", "owner", "found"}, plan


def _too_long(connection: DriverConnection) -> int:
    """Return how many statements apsw has prepared without keeping them, because their text is too long."""
    return int(cast(Any, connection).cache_stats()["too_big"])


def test_that_too_long_a_statement_is_not_kept() -> None:
    with closing(connect(Path(":memory:"))) as connection:
        connection.execute(f"SELECT {', '.join('1' * 999)} -- {'x' * 20_000}")
        assert _too_long(connection) == 1


async def test_statements_of_every_size_stay_prepared(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "buzz.db", readers=1)
    await migrate(database)
    callers, calls = CallerStore(database), CallStore(database)
    for size in (1, MAX_ASKS):
        asks = [Ask("+12385551629", f"+1{number:010}") for number in range(size)]
        assert len(await callers.look_up(asks)) == size
    for size in (1, 500):
        new = [NewCall(_row(f"{size}-{number}")) for number in range(size)]
        assert await calls.record(new) == [True] * size
    assert await database.read(_too_long) == 0
    assert await database.write(_too_long) == 0
    await database.close()


def _row(name: str) -> CallRow:
    return CallRow(
        person_id=1,
        called="+12385551629",
        call_id=f"BZ{name}",
        caller=name,
        caller_id="Unknown Caller",
        country_code="",
        phone_number=name,
        verified="none",
        trusted=0,
        reason="unknown",
        reasons="[]",
        certainty=None,
        recorded_from=None,
        outcome="blocked",
        call_time=None,
        created_at_ms=1_000,
    )
