"""Every query of push finds its registrations by an index, on every database: none reads them all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from storage.database import Database, Row, Value
from storage.push import claims
from storage.push.claims import PushMarks, claim_of
from storage.push.reads import companies_of, parties_since, read_up_to
from storage.push.registrations import NewRegistration, PushStore, Registration, remove_of_device

NOW = 1_000_000
TABLES = {"r", "push_registration", "d", "device", "m", "member", "c", "conversation", "read_mark", "activity"}


class Recorder:
    """A database that notes each statement, with its values, and runs it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect = getattr(database, "dialect", None)
        self.noted: list[tuple[str, Sequence[Value]]] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._database, name)

        def noting(sql: str, *values: Any) -> Any:
            self.noted.append((sql, values[0][0] if name == "execute_many" else values))
            return method(sql, *values)

        return noting

    @asynccontextmanager
    async def transaction(self) -> Any:
        async with self._database.transaction() as transaction:
            inner = Recorder(transaction)  # type: ignore[arg-type]
            yield inner
        self.noted += inner.noted


async def plan(database: Database, sql: str, values: Sequence[Value]) -> list[str]:
    async with database.transaction() as transaction:
        if database.dialect == "sqlite":
            return [str(row[-1]) for row in await transaction.fetch(f"EXPLAIN QUERY PLAN {sql}", *values)]
        # As if nothing had counted the rows yet: of a table that is known to have one row the planner would read all.
        await transaction.execute(
            "UPDATE pg_class SET relpages = 0, reltuples = -1 WHERE relnamespace = current_schema()::regnamespace"
        )
        await transaction.execute(
            "DELETE FROM pg_statistic WHERE starelid IN"
            " (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)"
        )
        for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
            await transaction.execute(f"SET LOCAL enable_{way} = off")
        rows: list[Row] = await transaction.fetch(f"EXPLAIN (COSTS OFF) {sql}", *values)
        return [str(line) for (line,) in rows]


def scans(dialect: str, steps: list[str]) -> list[str]:
    """Return the steps that go through a whole table, or a whole index."""
    if dialect == "sqlite":
        return [step for step in steps if step.startswith("SCAN ") and step.split()[1] in TABLES]
    found = []
    for number, step in enumerate(steps):
        if "Scan" in step and not any(kind in step for kind in ("Values Scan", "CTE Scan", "Subquery Scan")):
            below = "".join(steps[number + 1 : number + 3])
            if "Index Cond" not in below:
                found.append(step)
    return found


def marks(row: Registration, result: str) -> PushMarks:
    same = {name: getattr(row, name) for name in PushMarks._fields if name != "last_result"}
    return PushMarks(**same, last_result=result)


Use = Callable[[Any, Registration], Awaitable[Any]]
USES: dict[str, Use] = {
    "register": lambda d, r: PushStore(d).register(NewRegistration(2, "phone", "fcm", "t2", "{}", 1, 0, 1, NOW, 5)),
    "of_person": lambda d, r: PushStore(d).of_person(1),
    "of_parties": lambda d, r: PushStore(d).of_parties([1, 2, -3]),
    "remove": lambda d, r: PushStore(d).remove(1, "tablet", None),
    "remove one kind": lambda d, r: PushStore(d).remove(1, "tablet", "fcm"),
    "remove_gone": lambda d, r: PushStore(d).remove_gone(r._replace(device_id="tablet")),
    "to_look_at": lambda d, r: PushStore(d).to_look_at(NOW, (0, 0, "", ""), 500),
    "after": lambda d, r: PushStore(d).after((0, "", ""), 500),
    "never_woken": lambda d, r: PushStore(d).never_woken(100),
    "unanswered": lambda d, r: PushStore(d).unanswered([(1, "phone")]),
    "answered": lambda d, r: PushStore(d).answered(r, NOW),
    "look_no_more": lambda d, r: PushStore(d).look_no_more([r.key], NOW),
    "erase_person": lambda d, r: PushStore(d).erase_person(7),
    "take": lambda d, r: claims.take(d, [claim_of(r)] * 5, "lease", NOW, NOW + 1),
    "finish": lambda d, r: claims.finish(d, [("lease", marks(r, "accepted"))]),
    "settle": lambda d, r: claims.settle(d, [marks(r, "unknown")], NOW),
    "delete": lambda d, r: claims.delete(d, "no lease", r.key),
    "ring": lambda d, r: claims.ring(d, [(1, "CA1"), (2, "CA2"), (3, "CA3")]),
    "companies_of": lambda d, r: companies_of(d, [1, 2, 3]),
    "parties_since": lambda d, r: parties_since(d, 1, 9),
    "read_up_to": lambda d, r: read_up_to(d, [(1, 2), (1, -3)]),
}


@pytest.mark.parametrize("name", USES)
async def test_no_query_reads_all_registrations(database: Database, name: str) -> None:
    row = await PushStore(database).register(NewRegistration(1, "phone", "fcm", "token", "{}", 1, 0, 1, NOW, 5))
    recorder = Recorder(database)
    await USES[name](recorder, row)
    assert recorder.noted
    for sql, values in recorder.noted:
        steps = await plan(database, sql, values)
        assert not scans(database.dialect, steps), (sql, steps)
        if name in ("after", "to_look_at", "never_woken"):
            assert not [step for step in steps if "Sort" in step or "TEMP B-TREE" in step], steps


async def test_removing_a_device_finds_its_registrations_by_their_key(database: Database) -> None:
    async with database.transaction() as transaction:
        recorder = Recorder(transaction)  # type: ignore[arg-type]
        await remove_of_device(recorder, 1, "phone")  # type: ignore[arg-type]
    [(sql, values)] = recorder.noted
    assert not scans(database.dialect, await plan(database, sql, values))
