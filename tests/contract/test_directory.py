"""The directory on every database: one object, a whole import, the times that change and who is notified."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from protocol.directory import KEYS, Kind, Number
from protocol.directory_answers import line
from protocol.errors import ApiError, ErrorCode
from protocol.events import EventName
from protocol.heartbeat import LastTimes
from server.live.parties import Parties
from server.services.directory.directory import Directory
from server.services.directory.plan import ImportReport
from storage.database import Database
from storage.directory import reads as directory_reads
from storage.directory.changes import DirectoryChange
from storage.telephony.numbers import NumberStore

EXAMPLE = """
{"kind":"person","id":456,"first_name":"Jane","middle_name":"A.","last_name":"Smith","avatar":null,"numbers":["+12025550101"]}
{"kind":"company","id":123,"name":"Acme","avatar":null,"numbers":["+18005550100"]}
{"kind":"member","company_id":123,"person_id":456}
{"kind":"contact","id":9,"person_id":456,"first_name":"Bob","last_name":"Ray","numbers":["+12025550123"],"trusted":true}
{"kind":"trusted_company","person_id":456,"company_id":123}
{"kind":"trust_request","id":1,"person_id":456,"from":{"type":"person","id":7},"created_at":"2024-07-01T10:00:00Z"}
{"kind":"number","number":"+12385551629","person_id":456}
{"kind":"service_code","code":"57","name":"Privacy line","company_id":123}
"""


BIG = 2**53 + 1
"""An id that a JavaScript number can't hold: it becomes 2^53."""


class Recorder:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.published: list[tuple[tuple[int, ...], str, dict[str, Any]]] = []

    def publish(self, parties: Iterable[int], name: EventName, data: Mapping[str, Any], but: int | None = None) -> None:
        self.published.append((tuple(parties), name.value, dict(data)))

    def changed(self) -> dict[int, list[str]]:
        """Return by person the lists in their events; empties the record."""
        found: dict[int, list[str]] = {}
        for people, name, data in self.published:
            if name == "directory.changed":
                for person in people:
                    assert person not in found, "told twice"
                    found[person] = data["changed"]
        self.published.clear()
        return found


class World:
    """A directory with everything around it, and a clock that moves one second a change."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.events = Recorder()
        self.parties = Parties(database)
        self.relayed: list[DirectoryChange] = []
        self.now_ms = 1_720_000_000_000
        self.directory = Directory(database, self.parties, self.events, lambda: self.now_ms, relay=self.relayed.append)

    async def load(self, text: str, piece: int = 7, dry_run: bool = False) -> ImportReport:
        """Import ``text``, fed in small pieces."""
        self.now_ms += 1_000

        async def stream() -> AsyncIterator[bytes]:
            data = text.encode()
            for start in range(0, len(data), piece):
                yield data[start : start + piece]

        return await self.directory.import_lines(stream(), dry_run)

    async def put(self, kind: str, path: str, **body: Any) -> bool:
        self.now_ms += 1_000
        return (await self.directory.put(Kind(kind), tuple(path.split("/")), body))[1]

    async def remove(self, kind: str, path: str) -> None:
        self.now_ms += 1_000
        await self.directory.remove(Kind(kind), tuple(path.split("/")))

    async def last_times(self, person_id: int) -> LastTimes:
        return await directory_reads.last_times(self.database, person_id)

    async def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that the directory's tables hold but the times."""
        found = {}
        for table, columns in TABLES.items():
            found[table] = await self.database.fetch(f"SELECT {columns} FROM {table} ORDER BY {columns}")
        return found


TABLES = {
    "person": "id, first_name, middle_name, last_name, avatar",
    "company": "id, name, avatar",
    "member": "company_id, person_id",
    "contact": "id, person_id, first_name, middle_name, last_name, avatar, trusted",
    "trusted_company": "person_id, company_id",
    "trust_request": "id, person_id, from_party, created_at_ms",
    "phone": "e164, owner_kind, owner_id, person_id",
    "buzz_number": "e164, state, person_id",
    "service_code": "code, name, company_id, deleted_at_ms",
}


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    built = World(database)
    yield built
    await built.parties.close()


async def test_the_example_is_stored_as_it_reads(world: World) -> None:
    report = await world.load(EXAMPLE)
    assert (report.lines, report.changed) == (8, 8)
    for text in EXAMPLE.strip().splitlines():
        wanted = json.loads(text)
        kind = Kind(wanted["kind"])
        stored = await world.directory.find(kind, tuple(str(wanted[name]) for name in KEYS[kind]))
        found = json.loads(msgspec.json.encode(line(stored)))
        assert {name: found[name] for name in wanted} == wanted
    rows = await world.rows()
    assert ("+12025550123", "contact", 9, 456) in rows["phone"]
    assert ("+12025550101", "person", 456, 0) in rows["phone"]


async def test_the_same_again_writes_nothing_and_tells_nobody(world: World) -> None:
    await world.load(EXAMPLE)
    times = await world.last_times(456)
    world.events.published.clear()
    world.relayed.clear()
    report = await world.load(EXAMPLE)
    assert report.changed == 0
    assert await world.last_times(456) == times
    assert world.events.published == []
    assert world.relayed == []


async def test_a_number_of_the_pool_stays_with_whom_it_was_given_to(world: World) -> None:
    pool = EXAMPLE.replace('"number":"+12385551629","person_id":456', '"number":"+12385551629"')
    await world.load(pool)
    store = NumberStore(world.database)
    assert await store.take(456, world.now_ms) == "+12385551629"
    times, rows = await world.last_times(456), await world.rows()
    world.events.published.clear()
    assert (await world.load(pool)).changed == 0
    assert not await world.put("number", "+12385551629")
    assert await world.last_times(456) == times
    assert await world.rows() == rows
    await store.release(456, world.now_ms)
    assert (await world.load(pool)).changed == 0  # it rests
    assert world.events.published == []


async def big(world: World) -> None:
    """A person, a company, a contact and a trust request from before there was a limit."""
    async with world.database.transaction() as transaction:
        for statement in (
            f"INSERT INTO person (id, first_name) VALUES ({BIG}, 'Big')",
            f"INSERT INTO company (id, name) VALUES ({BIG}, 'Big')",
            f"INSERT INTO contact (id, person_id, trusted) VALUES ({BIG}, {BIG}, FALSE)",
            "INSERT INTO trust_request (id, person_id, from_party, created_at_ms)"
            f" VALUES ({BIG}, {BIG}, {-BIG}, 1719828000000)",
        ):
            await transaction.execute(statement)


OF_BIG = [
    f'{{"kind":"person","id":{BIG},"first_name":"Big"}}',
    f'{{"kind":"company","id":{BIG},"name":"Big"}}',
    f'{{"kind":"contact","id":{BIG},"person_id":{BIG}}}',
    f'{{"kind":"trust_request","id":{BIG},"person_id":{BIG},"from":{{"type":"company","id":{BIG}}},'
    f'"created_at":"2024-07-01T10:00:00Z"}}',
]
OF_BIG_AND_JANE = [each.replace(f'"person_id":{BIG}', '"person_id":456') for each in OF_BIG] + [
    f'{{"kind":"trust_request","id":2,"person_id":456,"from":{{"type":"person","id":{BIG}}},'
    f'"created_at":"2024-07-01T10:00:00Z"}}',
]


@pytest.mark.parametrize("text", OF_BIG_AND_JANE)
async def test_nothing_new_gets_an_id_that_clients_would_round(world: World, text: str) -> None:
    await people(world, 456)
    before = await world.rows()
    given = json.loads(text)
    field = "from.id" if given["id"] == 2 else "id"
    with pytest.raises(ApiError, match=rf"line 2: Invalid parameter: '{field}'.*9007199254740991") as refused:
        await world.load(f'{{"kind":"person","id":456,"first_name":"Other"}}\n{text}')
    assert refused.value.code is ErrorCode.BAD_REQUEST
    path, body = str(given["id"]), {name: value for name, value in given.items() if name not in ("kind", "id")}
    with pytest.raises(ApiError, match=rf"^Invalid parameter: '{field}'.*9007199254740991") as refused:
        await world.put(given["kind"], path, **body)
    assert refused.value.code is ErrorCode.BAD_REQUEST
    assert await world.rows() == before
    allowed = text.replace(str(BIG), str(2**53 - 1))
    assert (await world.load(allowed)).changed == 1


async def test_what_has_a_larger_id_from_before_stays_usable(world: World) -> None:
    await big(world)
    assert (await world.load("\n".join(OF_BIG))).changed == 0
    assert await world.put("person", str(BIG), first_name="Renamed")
    assert await world.put("contact", str(BIG), person_id=BIG, first_name="Renamed")
    assert await world.put("member", f"{BIG}/{BIG}")
    await world.remove("trust_request", str(BIG))
    await world.remove("contact", str(BIG))
    await world.remove("company", str(BIG))
    assert (await world.load(f'{{"kind":"person","id":{BIG},"deleted":true}}')).changed == 1
    rows = await world.rows()
    assert not any(rows[table] for table in ("person", "company", "member", "contact", "trust_request"))


async def test_a_put_for_the_pool_answers_whose_the_number_is(world: World) -> None:
    await world.load(EXAMPLE)
    stored, changed = await world.directory.put(Kind.NUMBER, ("+12385551629",), {})
    assert (stored, changed) == (Number("+12385551629", 456), False)


async def test_an_import_moves_the_times_of_those_concerned(world: World) -> None:
    await world.load(EXAMPLE)
    now = world.now_ms
    assert await world.last_times(456) == LastTimes(now, 1_719_828_000_000, now, now, now)
    assert [name for _, name, _ in world.events.published] == ["directory.changed", "trust.requested"]
    people, _, data = world.events.published[1]
    assert people == (456,)
    assert data == {"id": 1, "from": {"type": "person", "id": 7}, "created_at": "2024-07-01T10:00:00Z"}
    assert world.events.changed() == {456: ["contacts", "trust_requests", "companies", "coworkers", "user"]}


async def people(world: World, *ids: int) -> None:
    for person in ids:
        await world.put("person", str(person), first_name=f"P{person}")


async def test_each_change_concerns_whom_it_should(world: World) -> None:
    """456 and 7 are coworkers at 123, 8 trusts 123, 9 is alone."""
    await people(world, 456, 7, 8, 9)
    await world.put("company", "123", name="Acme")
    for person in (456, 7):
        await world.put("member", f"123/{person}")
    await world.put("trusted_company", "8/123")
    world.events.published.clear()

    async def concerns(wanted: dict[int, list[str]]) -> None:
        assert world.events.changed() == wanted
        for person in (456, 7, 8, 9):
            times = await world.last_times(person)
            fields = {_TIME_OF[name] for name in wanted.get(person, [])}
            assert {name for name in LastTimes._fields if getattr(times, name) == world.now_ms} == fields

    await world.put("person", "456", first_name="Jane")
    await concerns({456: ["user"], 7: ["coworkers"]})
    await world.put("company", "123", name="Acme Inc.")
    await concerns({8: ["companies"]})
    await world.put("contact", "1", person_id=9, trusted=True, numbers=["+12025550123"])
    await concerns({9: ["contacts"]})
    await world.put("contact", "1", person_id=8)
    await concerns({8: ["contacts"], 9: ["contacts"]})
    await world.remove("contact", "1")
    await concerns({8: ["contacts"]})
    await world.put("member", "123/9")
    await concerns({456: ["coworkers"], 7: ["coworkers"], 9: ["coworkers"]})
    await world.remove("member", "123/9")
    await concerns({456: ["coworkers"], 7: ["coworkers"], 9: ["coworkers"]})
    await world.put("trusted_company", "9/123")
    await concerns({9: ["companies"]})
    await world.put("number", "+12385551629", person_id=9)
    await concerns({9: ["user"]})
    await world.remove("person", "7")
    await concerns({456: ["coworkers"]})
    await world.remove("company", "123")
    await concerns({456: ["coworkers"], 8: ["companies"], 9: ["companies"]})


_TIME_OF = {
    "contacts": "contact_update",
    "trust_requests": "trust_request",
    "companies": "company_update",
    "coworkers": "coworker_update",
    "user": "user_update",
}


async def test_a_trust_request_counts_by_when_it_was_made(world: World) -> None:
    await people(world, 456)
    asked = {"person_id": 456, "from": {"type": "company", "id": 5}}
    await world.put("trust_request", "1", **asked, created_at="2024-07-01T10:00:00Z")
    await world.put("trust_request", "2", **asked, created_at="2024-06-01T10:00:00+02:00")
    assert (await world.last_times(456)).trust_request == 1_719_828_000_000
    await world.remove("trust_request", "1")
    assert (await world.last_times(456)).trust_request == 1_719_828_000_000
    assert [name for _, name, _ in world.events.published].count("trust.requested") == 2


async def test_numbers_follow_their_owner(world: World) -> None:
    await people(world, 456, 7)
    await world.put("contact", "1", person_id=456, numbers=["+12025550123", "+12025550124", "+12025550123"])
    await world.put("contact", "1", person_id=7, numbers=["+12025550124", "+12025550125"])
    assert (await world.rows())["phone"] == [("+12025550124", "contact", 1, 7), ("+12025550125", "contact", 1, 7)]
    await world.put("contact", "1", person_id=7)
    assert (await world.rows())["phone"] == []


async def test_removing_a_party_removes_all_it_has(world: World) -> None:
    await world.load(EXAMPLE)
    await world.put("trust_request", "2", person_id=456, created_at="2024-07-01T10:00:00Z", **{"from": _party(-123)})
    await world.remove("company", "123")
    rows = await world.rows()
    assert [len(rows[table]) for table in ("company", "member", "trusted_company", "trust_request")] == [0, 0, 0, 1]
    assert [row[:3] for row in rows["service_code"] if row[3] is None] == []
    await world.remove("person", "456")
    rows = await world.rows()
    assert rows["buzz_number"] == [("+12385551629", "resting", None)]
    del rows["buzz_number"], rows["service_code"]
    assert all(found == [] for found in rows.values()), rows


def _party(key: int) -> dict[str, Any]:
    return {"type": "person" if key > 0 else "company", "id": abs(key)}


async def test_an_import_is_all_or_nothing(world: World) -> None:
    await world.load(EXAMPLE)
    before = await world.rows()
    for bad, says in (
        ('{"kind":"person","id":1,"first_name":"A"}\n{"kind":"person"}', "line 2: Missing required parameter: 'id'"),
        ('\n\n{"kind":"person","id":1,"first_name":"A"}\nnonsense\n', "line 4: not valid JSON"),
        ('{"kind":"member","company_id":5,"person_id":456}', "line 1: there is no company 5 in the directory"),
        ('{"kind":"contact","id":1,"person_id":8}', "line 1: there is no person 8 in the directory"),
        (
            '{"kind":"person","id":8,"first_name":"A"}\n{"kind":"number","number":"+12385551629","person_id":8}',
            "line 2: the number is another person's",
        ),
        ('{"kind":"person","id":456,"deleted":true}\n{"kind":"contact","id":1,"person_id":456}', "line 2: there is no"),
        ('{"kind":"person","id":1,"first_name":"' + "x" * 70_000 + '"}', "line 1: is longer than 65536 bytes"),
        ("\n".join(['{"kind":"x"}'] * 15), "15 lines have errors"),
        (
            '{"kind":"number","number":"+12385551630"}\n{"kind":"number","number":"+12385551630","person_id":456}',
            "line 2: Invalid parameter: 'number'",
        ),
    ):
        with pytest.raises(ApiError) as refusal:
            await world.load(bad, piece=1_000)
        assert refusal.value.code is ErrorCode.BAD_REQUEST
        assert says in refusal.value.message
        assert await world.rows() == before


async def test_lines_may_come_in_any_order(world: World) -> None:
    await world.load("\n".join(reversed(EXAMPLE.strip().splitlines())))
    rows = await world.rows()
    assert len(rows["member"]) == len(rows["contact"]) == len(rows["service_code"]) == 1


async def test_of_several_lines_for_one_object_the_last_counts(world: World) -> None:
    await people(world, 1)
    await world.load(
        """
        {"kind":"person","id":1,"first_name":"B"}
        {"kind":"person","id":2,"first_name":"C","numbers":["+12025550101"]}
        {"kind":"person","id":1,"first_name":"P1"}
        {"kind":"person","id":2,"first_name":"D"}
        {"kind":"contact","id":1,"person_id":1}
        {"kind":"contact","id":1,"deleted":true}
        {"kind":"contact","id":2,"deleted":true}
        {"kind":"contact","id":2,"person_id":2}
        """
    )
    rows = await world.rows()
    assert [row[:2] for row in rows["person"]] == [(1, "P1"), (2, "D")]
    assert [row[:2] for row in rows["contact"]] == [(2, 2)]
    assert rows["phone"] == []


async def test_removing_a_party_in_an_import_counts_where_it_stands(world: World) -> None:
    await world.load(EXAMPLE)
    await world.load(
        """
        {"kind":"contact","id":10,"person_id":456}
        {"kind":"person","id":456,"deleted":true}
        {"kind":"contact","id":11,"person_id":456}
        {"kind":"person","id":456,"first_name":"Jane","numbers":["+12025550101"]}
        {"kind":"contact","id":9,"person_id":456,"first_name":"Bob","last_name":"Ray","numbers":["+12025550123"],"trusted":true}
        """
    )
    rows = await world.rows()
    assert [row[0] for row in rows["contact"]] == [9, 11]
    assert [row[0] for row in rows["phone"]] == ["+12025550101", "+12025550123", "+18005550100"]
    assert rows["member"] == rows["trusted_company"] == []


async def test_a_dry_run_says_what_would_change_and_changes_nothing(world: World) -> None:
    report = await world.load(EXAMPLE, dry_run=True)
    assert report.put == {kind.value: 1 for kind in Kind}
    assert all(found == [] for found in (await world.rows()).values())
    assert world.events.published == []


async def test_names_and_memberships_are_fresh_after_a_change(world: World) -> None:
    await world.load(EXAMPLE)
    await world.parties.load([456, 7])
    assert await world.parties.companies_of(456) == (-123,)
    assert world.parties.get(7) is None
    await world.put("person", "7", first_name="Bob")
    await world.remove("member", "123/456")
    await world.parties.load([7])
    assert world.parties.get(7) is not None
    assert await world.parties.companies_of(456) == ()
    assert world.relayed[-1] == DirectoryChange((), (456,))
    assert world.relayed[-2] == DirectoryChange((7,), (7,))


async def test_one_object_is_refused_with_a_reason(world: World) -> None:
    for kind, path, body, code in (
        ("person", "x", {"first_name": "A"}, ErrorCode.BAD_REQUEST),
        ("person", "1", {}, ErrorCode.BAD_REQUEST),
        ("person", "1", {"first_name": "A", "id": 2}, ErrorCode.BAD_REQUEST),
        ("person", "1", {"first_name": "A", "numbers": ["123"]}, ErrorCode.BAD_REQUEST),
        ("person", "1/2", {"first_name": "A"}, ErrorCode.NOT_FOUND),
        ("member", "1/2", {}, ErrorCode.CONFLICT),
        ("number", "+12385551629", {"person_id": 5}, ErrorCode.CONFLICT),
        ("service_code", "57", {"name": "x", "company_id": 5}, ErrorCode.CONFLICT),
    ):
        with pytest.raises(ApiError) as refusal:
            await world.put(kind, path, **body)
        assert refusal.value.code is code, (kind, path, body)
    for kind, path in (("person", "1"), ("member", "1/2"), ("number", "+12385551629")):
        with pytest.raises(ApiError) as refusal:
            await world.remove(kind, path)
        assert refusal.value.code is ErrorCode.NOT_FOUND


async def test_many_at_once_end_as_if_one_after_another(world: World) -> None:
    await people(world, 1)
    names = [f"name {n}" for n in range(20)]
    await asyncio.gather(*(world.put("person", "1", first_name=name) for name in names))
    [(_, name, *_)] = (await world.rows())["person"]
    assert name in names


async def test_a_large_import_is_spooled_and_told_once(world: World) -> None:
    count = 4_000
    text = "\n".join(
        [
            f'{{"kind":"person","id":{n},"first_name":"P{n}","numbers":["+1202{5_000_000 + n}"]}}'
            for n in range(1, count)
        ]
        + ['{"kind":"company","id":1,"name":"Acme"}']
        + [f'{{"kind":"member","company_id":1,"person_id":{n}}}' for n in range(1, count)]
    )
    report = await world.load(text, piece=60_000)
    assert report.put == {"person": count - 1, "company": 1, "member": count - 1}
    assert len(world.events.changed()) == count - 1
    assert world.relayed == [DirectoryChange(None, None)]
    [(found,)] = await world.database.fetch("SELECT COUNT(*) FROM phone")
    assert found == count - 1
    assert (await world.load(text, piece=60_000)).changed == 0


@pytest.mark.parametrize("dated", ["2030-06-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_a_trust_request_of_the_future_is_refused_and_named(world: World, dated: str) -> None:
    await people(world, 456)
    asked = {"person_id": 456, "from": {"type": "company", "id": 5}, "created_at": dated}
    with pytest.raises(ApiError, match="'created_at': lies more than a day ahead") as refused:
        await world.put("trust_request", "1", **asked)
    assert refused.value.code is ErrorCode.BAD_REQUEST
    text = json.dumps({"kind": "trust_request", "id": 1, **asked})
    with pytest.raises(ApiError, match=r"Nothing was imported, one line has an error: line 2: .*'created_at'"):
        await world.load(f'{{"kind":"person","id":457,"first_name":"A","last_name":"B"}}\n{text}')
    assert not (await world.rows())["trust_request"]


async def test_a_clock_elsewhere_that_is_a_little_fast_makes_no_time_of_the_future(world: World) -> None:
    await people(world, 456)
    soon = datetime.fromtimestamp(world.now_ms / 1000 + 3_600, UTC).isoformat()
    await world.put("trust_request", "1", person_id=456, created_at=soon, **{"from": _party(-5)})
    assert (await world.last_times(456)).trust_request == world.now_ms


async def test_a_time_of_the_future_that_is_stored_already_pins_nothing(world: World) -> None:
    await people(world, 456)
    async with world.database.transaction() as transaction:
        await transaction.execute("UPDATE person SET trust_request_at_ms = ?", 253_402_300_799_000)
    await world.put("contact", "9", person_id=456, first_name="Robert")
    assert (await world.last_times(456)).trust_request == 253_402_300_799_000, "no request, no news"
    await world.put("trust_request", "1", person_id=456, created_at="2024-07-01T10:00:00Z", **{"from": _party(-5)})
    assert (await world.last_times(456)).trust_request == 1_719_828_000_000
