"""/admin/directory/…: one object, a whole import, and what people see of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from protocol.directory import KEYS, Kind
from server.node.demo import DEMO_LINES, DEMO_PEOPLE, load_demo
from tests.harness.world import World
from tests.integration.directory.conftest import Admin

NO_WARNING = {"warnings": 0, "warned": []}
LINES = DEMO_LINES.strip().splitlines()


async def test_an_import_is_answered_with_what_it_did(admin: Admin) -> None:
    answer = await admin.load(*LINES, query="?dry_run=true")
    first = answer.json
    assert (first["lines"], first["changed"], first["dry_run"]) == (len(LINES), len(LINES), True)
    assert first["put"]["person"] == 3
    assert (await admin("GET", "person/456")).status == 404
    assert (await admin.load(*LINES)).json == {**first, "dry_run": False}
    again = (await admin.load(*LINES)).json
    assert again == {"lines": len(LINES), "changed": 0, "put": {}, "removed": {}, "dry_run": False, **NO_WARNING}


@pytest.mark.parametrize("line", LINES)
async def test_each_object_has_its_own_route(admin: Admin, line: str) -> None:
    await admin.load(*LINES)
    fields = json.loads(line)
    kind = Kind(fields.pop("kind"))
    path = "/".join([kind.value, *(str(fields[name]).replace("+", "%2B") for name in KEYS[kind])])
    stored = (await admin("GET", path)).json
    assert stored == {**stored, **fields}
    body = {name: value for name, value in fields.items() if name not in KEYS[kind]}
    answer = await admin("PUT", path, json=body)
    assert answer.status == 200
    assert answer.json == {"changed": False, "object": stored, "warnings": 0}
    assert (await admin("DELETE", path)).status == 204
    assert (await admin("GET", path)).status == 404
    assert (await admin("DELETE", path)).status == 404


async def test_a_change_is_seen_by_the_person_at_once(admin: Admin, world: World) -> None:
    await admin.load(*LINES)
    jane, maria = await world.join(456), await world.join(8)
    before = (await world.http(456)("GET", "/apps/buzz/heartbeat")).json
    assert before["last_trust_request"] == "2024-07-01T10:00:00Z"
    assert before["number"] == {"country_code": "1", "number": "2385551629"}
    assert [name for name, value in before.items() if value is None] == ["last_key_update"], "no key has changed yet"

    await admin("PUT", "contact/9", json={"person_id": 456, "first_name": "Robert", "trusted": False})
    await admin("PUT", "person/456", json={"first_name": "Janet"})
    asked = {"person_id": 456, "from": {"type": "company", "id": 123}, "created_at": "2024-07-02T10:00:00Z"}
    await admin("PUT", "trust_request/2", json=asked)
    await jane.until(lambda peer: peer.events("trust.requested"))
    await maria.until(lambda peer: peer.events("directory.changed"))
    assert [event["changed"] for event in jane.events("directory.changed")] == [
        ["contacts"],
        ["user"],
        ["trust_requests"],
    ]
    assert maria.events("directory.changed") == [{"changed": ["coworkers"]}]
    [told] = jane.events("trust.requested")
    assert told == {"id": 2, "from": {"type": "company", "id": 123}, "created_at": "2024-07-02T10:00:00Z"}
    after = (await world.http(456)("GET", "/apps/buzz/heartbeat")).json
    assert after["last_trust_request"] == "2024-07-02T10:00:00Z"


async def test_a_session_follows_its_membership_at_once(admin: Admin, world: World) -> None:
    await admin.load(*LINES)
    john = await world.join(7)
    assert (await admin("PUT", "member/123/7")).status == 200
    sent = {"type": "outgoing_call_missed", "sendable_type": "person", "sendable_id": 456}
    to_acme = {**sent, "receivable_type": "company", "receivable_id": 123}
    assert (await world.http(456)("POST", "/apps/buzz/activity", json=to_acme)).status == 200
    [activity] = await john.until(lambda peer: peer.activities)
    assert activity["sendable"]["first_name"] == "Jane"
    assert activity["receivable"] == {
        "id": 123,
        "name": "Acme",
        "first_name": "Acme",
        "middle_name": None,
        "last_name": None,
    }


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["{}"], "line 1: should be a JSON object with 'kind'"),
        (["", LINES[0], "nonsense"], "line 3: not valid JSON"),
        ([LINES[0], '{"kind":"person","id":1}'], "line 2: Missing required parameter: 'first_name'"),
        (['{"kind":"contact","id":1,"person_id":5}'], "line 1: there is no person 5 in the directory"),
        ([LINES[0], b'{"kind":"person","id":1,"first_name":"\xff"}'], "line 2: "),
        ([LINES[0], b"\x00" * 70_000], "line 2: is longer than 65536 bytes"),
    ],
)
async def test_a_faulty_import_changes_nothing(admin: Admin, lines: list[str | bytes], says: str) -> None:
    answer = await admin.load(*lines, expect=400)
    assert answer.json["error"]["code"] == "400"
    assert says in answer.message
    assert (await admin("GET", "person/456")).status == 404


async def test_an_upload_that_breaks_off_changes_nothing(admin: Admin, world: World) -> None:
    reader, writer = await asyncio.open_connection(world.running.host, world.running.port)
    head = (
        "POST /admin/directory/import HTTP/1.1\r\nHost: buzz\r\nTransfer-Encoding: chunked\r\n"
        f"Authorization: Bearer {world.tokens.service('admin')}\r\n\r\n"
    )
    line = LINES[0].encode() + b"\n"
    writer.write(head.encode() + f"{len(line):x}\r\n".encode() + line + b"\r\n")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await reader.read()
    assert (await admin("GET", "person/456")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "person/x", {"first_name": "A"}, 400),
        ("PUT", "person/0", {"first_name": "A"}, 400),
        ("PUT", "person/1", {}, 400),
        ("PUT", "person/1", [], 400),
        ("PUT", "person/1", {"first_name": 1}, 400),
        ("PUT", "person/1", {"first_name": "A", "id": 2}, 400),
        ("PUT", "person/1", {"first_name": "A", "numbers": ["5550101"]}, 400),
        ("PUT", "person/1", {"first_name": "A", "nick": "B"}, 400),
        ("PUT", "member/1/2", {}, 409),
        ("PUT", "animal/1", {}, 404),
        ("PUT", "person/1/2", {}, 404),
        ("POST", "person/1", {}, 405),
        ("GET", "person/1", None, 404),
        ("DELETE", "number/5", None, 400),
        ("POST", "import?dry_run=maybe", None, 400),
        ("POST", "import?force=true", None, 400),
    ],
)
async def test_bad_requests(admin: Admin, method: str, path: str, body: object, status: int) -> None:
    answer = await admin(method, path, **({} if body is None else {"json": body}))
    assert answer.status == status
    assert answer.json["error"]["code"] == str(status)
    assert "X-Request-Id" in answer.headers


@pytest.mark.parametrize("path", ["import", "person/456"])
async def test_only_an_admin_may(world: World, admin: Admin, path: str) -> None:
    await admin.load('{"kind":"person","id":456,"first_name":"Jane"}')
    method = "POST" if path == "import" else "PUT"
    for http, status in (
        (world.http(), 401),
        (world.http(456), 403),
        (world.http(token=world.tokens.service("lookup")), 403),
    ):
        assert (await http(method, f"/admin/directory/{path}", data=b"{")).status == status


CONTACT = {"kind": "contact", "id": 77, "person_id": 1, "first_name": "Lou", "trusted": True}
PERSON = '{"kind":"person","id":1,"first_name":"A"}'


async def test_a_number_that_nobody_could_call_is_left_out_of_a_contact(admin: Admin) -> None:
    lines = [PERSON, json.dumps({**CONTACT, "numbers": ["311", "+12025550143", "+1 (202) 555-0144", "work"]})]
    for query, changed in (("?dry_run=true", 2), ("", 2), ("", 0)):
        done = (await admin.load(*lines, query=query)).json
        assert (done["changed"], done["warnings"]) == (changed, 2)
        assert done["warned"] == ["line 2: 2 numbers were left out of contact 77: nobody could call it"]
    assert (await admin("GET", "contact/77")).json["numbers"] == ["+12025550143", "+12025550144"]
    assert await address_books(admin) == ("warn", "2 numbers of 1 contacts were left out")
    put = await admin("PUT", "contact/77", json={"person_id": 1, "numbers": ["+15"]})
    assert (put.json["warnings"], put.json["object"]["numbers"]) == (1, [])
    await admin.load('{"kind":"contact","id":77,"person_id":1,"numbers":["+12025550143"]}')
    assert await address_books(admin) == ("ok", "all contacts' numbers can be called")


async def address_books(admin: Admin) -> tuple[str, str]:
    http = admin.world.http(token=admin.world.tokens.service("admin"))
    [found] = [each for each in (await http("GET", "/admin/doctor")).json if each["check"] == "address books"]
    return found["health"], found["detail"].split(",")[0]


async def test_a_persons_own_number_has_to_be_right(admin: Admin) -> None:
    answer = await admin.load('{"kind":"person","id":1,"first_name":"A","numbers":["311"]}', expect=400)
    assert "line 1" in answer.message


async def test_an_address_book_in_old_and_new_forms_is_kept_as_it_is(admin: Admin) -> None:
    """Sixty contacts a form, each with a number that can't be called as well."""
    forms = ("+52155{:08}", "+5255{:08}", "+5411{:08}", "+54911{:08}", "+55118{:07}", "+2250712{:04}", "+22997{:06}")
    numbers = [form.format(number) for form in forms for number in range(1_000, 1_060)]
    lines = [
        json.dumps({**CONTACT, "id": place, "numbers": [number, "911"]}) for place, number in enumerate(numbers, 1)
    ]
    done = (await admin.load(PERSON, *lines)).json
    assert (done["put"], done["warnings"], len(done["warned"])) == ({"person": 1, "contact": 420}, 420, 10)
    assert (await admin("GET", "contact/1")).json["numbers"] == [numbers[0]]
    again = (await admin.load(PERSON, *lines)).json
    assert (again["changed"], again["warnings"]) == (0, 420)


async def test_a_buzz_number_is_one_line_in_whatever_form(admin: Admin) -> None:
    old, new = "+5215512345678", "+525512345678"
    await admin.load(PERSON, f'{{"kind":"number","number":"{old}","person_id":1}}')
    assert (await admin("GET", f"number/%2B{new[1:]}")).json["number"] == old
    done = (await admin.load(f'{{"kind":"number","number":"{new}","person_id":1}}')).json
    assert done["put"] == {"number": 1}
    assert (await admin("GET", f"number/%2B{old[1:]}")).json["number"] == new
    assert (await admin.load(f'{{"kind":"number","number":"{new}","person_id":1}}')).json["changed"] == 0
    two = [f'{{"kind":"number","number":"{number}"}}' for number in (old, new)]
    assert "earlier line" in (await admin.load(*two, expect=400)).message
    assert (await admin("DELETE", f"number/%2B{old[1:]}")).status == 204
    assert (await admin("GET", f"number/%2B{new[1:]}")).status == 404


async def test_a_large_import_leaves_room_for_others(admin: Admin, world: World) -> None:
    """While an import is checked and written, other requests are answered."""
    lines = [f'{{"kind":"person","id":{n},"first_name":"P{n}"}}\n' for n in range(1, 20_001)]

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(lines), 1_000):
            yield "".join(lines[start : start + 1_000]).encode()

    importing = asyncio.create_task(admin("POST", "import", data=body()))
    answered = 0
    while not importing.done():
        assert (await world.http()("GET", "/healthz")).status == 200
        answered += 1
    assert (await importing).json["changed"] == 20_000
    assert answered > 5


async def test_the_demo_fills_an_empty_directory_once(admin: Admin, world: World) -> None:
    assert await load_demo(world.node.directory)
    assert not await load_demo(world.node.directory)
    for person, name in DEMO_PEOPLE.items():
        stored = (await admin("GET", f"person/{person}")).json
        assert " ".join(filter(None, (stored["first_name"], stored["middle_name"], stored["last_name"]))) == name
    lookup = world.http(token=world.tokens.service("lookup"))
    ask = {"number_code": "1", "number": "2385551629", "inbound_code": "1", "inbound": "9876543210"}
    assert (await lookup("POST", "/apps/buzz/trust-lookup", json=ask)).json == {"trusted": True, "user_id": 456}
