"""Every field of the activity routes with what it must not be, and every error in both shapes."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest

from protocol.activity import Activity, ActivityType
from storage.contract import Range
from storage.errors import StorageUnavailable
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import SQLITE
from tests.harness.bad_values import CASES, MISSING, changed, shown
from tests.harness.http import Answer
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.watch import Watch
from tests.harness.world import World, stored

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.usual_backends(SQLITE)

POST = "/apps/buzz/activity"
WORDS = {
    400: "Bad Request",
    401: "Unauthorized: Access is denied due to invalid credentials.",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


def is_flat(answer: Answer) -> bool:
    """The seed's shape of a 400: ``{"error": true, "message": …}``."""
    value = answer.json
    return set(value) == {"error", "message"} and value["error"] is True and bool(value["message"])


def check(answer: Answer, status: int, flat: bool = False) -> None:
    """An answer of the documented shape, that tells nothing but the fault."""
    assert answer.status == status, answer.body
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"].startswith("application/json")
    assert b"Traceback" not in answer.body
    if flat:
        assert is_flat(answer), answer.body
    else:
        error = answer.json["error"]
        assert set(error) == {"code", "message"}
        assert error["code"] == str(status)
        assert error["message"].startswith(WORDS[status]), error
    if status in (429, 503):
        assert int(answer.headers["Retry-After"]) >= 1


# The fields of POST activity

FIELDS = [case for case in CASES if case.path[0] == "activity" and len(case.path) == 2]


@pytest.mark.parametrize("case", FIELDS, ids=lambda case: case.path[1])
async def test_a_field_that_does_not_fit_is_named(world: World, case: Any) -> None:
    http, name, wrong = world.http(JANE), case.path[1], []
    if name == "idempotency_key":
        return  # a header here: below
    for value in case.values:
        body = json.dumps(changed(chat(JANE, BOB), (name,), value), ensure_ascii=False).encode()
        answer = await http("POST", POST, data=body, headers={"Content-Type": "application/json"})
        named = f"'{name}'" in answer.message or value != value
        if answer.status != 400 or not is_flat(answer) or not named:
            wrong.append((shown(value), answer.status, answer.body[:200]))
    assert not wrong
    assert stored(world) == 0


async def test_the_seeds_own_words_for_a_missing_parameter(world: World) -> None:
    answer = await world.http(JANE)("POST", POST, json={})
    check(answer, 400, flat=True)
    assert answer.json == {"error": True, "message": "Missing required parameter: 'type'"}
    for name in ("receivable_type", "receivable_id", "sendable_type", "sendable_id", "message", "message_id"):
        body = changed(chat(JANE, BOB), (name,), MISSING)
        assert (await world.http(JANE).post(body)).json["message"] == f"Missing required parameter: '{name}'"


async def test_a_type_that_is_none_is_answered_with_those_that_are(world: World) -> None:
    answer = await world.http(JANE).post({**chat(JANE, BOB), "type": "chat"})
    check(answer, 400, flat=True)
    assert answer.message.startswith("Invalid parameter: 'type': should be one of 'chat_message', ")
    assert {kind.name for kind in ActivityType} == set(re.findall(r"'(\w+_\w+)'", answer.message))
    for name in ("sendable_type", "receivable_type"):
        answer = await world.http(JANE).post({**chat(JANE, BOB), name: "robot"})
        assert answer.message.startswith(f"Invalid parameter: '{name}': should be one of 'person', 'company', ")


BODIES: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("half an object", b'{"type":'),
    ("an array", b"[]"),
    ("null", b"null"),
    ("a number", b"1"),
    ("a string", b'"x"'),
    ("NaN", b"NaN"),
    ("more after it", b"{} {}"),
    ("invalid UTF-8", b'{"type":"\xff"}'),
    ("UTF-16", '{"type":"chat_message"}'.encode("utf-16")),
    ("half a surrogate pair", b'{"type":"\\ud800"}'),
    ("100,000 brackets", b"[" * 100_000),
    ("nested too deep", b'{"type":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ("a number of 5,000 digits", b'{"sendable_id":' + b"9" * 5_000 + b"}"),
    ("a form", b"type=chat_message&message=x"),
]


@pytest.mark.parametrize(("name", "body"), BODIES, ids=[name for name, _ in BODIES])
async def test_a_body_that_is_no_json_object(world: World, name: str, body: bytes) -> None:
    answer = await world.http(JANE)("POST", POST, data=body, headers={"Content-Type": "application/json"})
    check(answer, 400, flat=True)
    assert stored(world) == 0


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "json",
        "",
    ],
)
async def test_another_content_type(world: World, content_type: str) -> None:
    body = json.dumps(chat(JANE, BOB)).encode()
    check(await world.http(JANE)("POST", POST, data=body, headers={"Content-Type": content_type}), 415)
    assert stored(world) == 0


async def test_a_body_that_does_not_say_what_it_is_is_taken_for_json(world: World) -> None:
    body = json.dumps(chat(JANE, BOB)).encode()
    token = world.tokens.person(JANE).encode()
    lines = (b"Authorization: Bearer " + token, b"Content-Length: %d" % len(body))
    answer = await by_hand(world, b"POST /apps/buzz/activity HTTP/1.1", *lines, body=body)
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
async def test_json_however_it_is_spelt(world: World, content_type: str) -> None:
    body = json.dumps(chat(JANE, BOB)).encode()
    assert (await world.http(JANE)("POST", POST, data=body, headers={"Content-Type": content_type})).status == 200


async def test_of_a_duplicate_key_the_last_counts(world: World) -> None:
    body = json.dumps(chat(JANE, BOB))[:-1] + ', "message": "last"}'
    answer = await world.http(JANE)("POST", POST, data=body, headers={"Content-Type": "application/json"})
    assert answer.json["data"]["message"] == "last"


@pytest.mark.parametrize("size", [512 * 1024, 3 * 1024 * 1024])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_beyond_the_limit(world: World, size: int, chunked: bool) -> None:
    body = json.dumps(chat(JANE, BOB)).encode() + b" " * size

    async def chunks():  # type: ignore[no-untyped-def]
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    data = chunks() if chunked else io.BytesIO(body)
    with suppress(aiohttp.ClientOSError):  # the answer may come, and end the connection, before the body is written
        check(await world.http(JANE)("POST", POST, data=data, headers={"Content-Type": "application/json"}), 413)
    assert stored(world) == 0


async def test_the_largest_message_in_json_escapes_is_taken(world: World) -> None:
    body = json.dumps(chat(JANE, BOB, "\x01" * 65_536)).encode()
    assert len(body) > 6 * 65_536
    assert (await world.http(JANE)("POST", POST, data=body, headers={"Content-Type": "application/json"})).status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
async def test_a_compressed_body_that_is_none(world: World, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = await world.http(JANE)("POST", POST, data=b"this is none", headers=headers)
    assert 400 <= answer.status < 500, answer.body
    assert stored(world) == 0


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
async def test_a_small_body_that_unpacks_to_a_huge_one(
    world: World, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = await world.http(JANE)("POST", POST, data=pack(b" " * 50_000_000), headers=headers)
    assert 400 <= answer.status < 500
    assert stored(world) == 0


# Headers


@pytest.mark.parametrize(
    ("key", "status"),
    [
        (b"k", 200),
        (b"k" * 255, 200),
        (b"", 400),
        (b"k" * 256, 400),
        (b"\xff\xfe", 400),
        ("schlüssel".encode(), 400),
        (b"a\tb", 400),
    ],
    ids=repr,
)
async def test_an_idempotency_key_is_printable_and_of_some_length(world: World, key: bytes, status: int) -> None:
    body = json.dumps(chat(JANE, BOB)).encode()
    answer = await by_hand(
        world,
        b"POST /apps/buzz/activity HTTP/1.1",
        b"Authorization: Bearer " + world.tokens.person(JANE).encode(),
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Idempotency-Key: " + key,
        body=body,
    )
    assert answer.startswith(b"HTTP/1.1 %d" % status), answer
    if status == 400:
        assert b'"error":true' in answer
        assert b"Idempotency-Key" in answer
    assert stored(world) == (status == 200)


async def by_hand(world: World, *lines: bytes, body: bytes = b"") -> bytes:
    """A request written byte by byte; the whole answer."""
    parts = urlsplit(world.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(b"\r\n".join([lines[0], b"Host: test", b"Connection: close", *lines[1:], b"", b""]) + body)
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_session_is_no_idle_connection(open_: OpenWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.http.connection.IDLE_SECONDS", 0.1)
    world = await open_()
    jane = await world.join(JANE)
    parts = urlsplit(world.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await jane.alive()


async def test_a_body_that_does_not_come_in_time_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.http.requests.BODY_SECONDS", 0.05)
    token = world.tokens.person(JANE).encode()
    answer = await by_hand(
        world,
        b"POST /apps/buzz/activity HTTP/1.1",
        b"Authorization: Bearer " + token,
        b"Content-Type: application/json",
        b"Content-Length: 100",
        body=b'{"type":',
    )
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert b"The body did not arrive in time." in answer
    assert stored(world) == 0


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "bearer a.b.c", "é"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", POST), ("GET", f"{POST}/0"), ("GET", POST), ("GET", f"{POST}/x")]
)
async def test_no_good_credential_comes_before_everything_else(
    world: World, method: str, path: str, header: str
) -> None:
    answer = await world.http()(method, path, headers={"Authorization": header} if header else {}, data=b"{")
    check(answer, 401)
    told = ("The token is missing.", "The token's signature could not be verified.", "This is not a token of a ")
    assert answer.json["error"]["message"].startswith(tuple(f"{WORDS[401]} {reason}" for reason in told))


@pytest.mark.parametrize("scope", ["lookup", "admin"])
async def test_a_services_token_is_the_wrong_one(world: World, scope: str) -> None:
    check(await world.http(token=world.tokens.service(scope)).get(f"{POST}/0"), 403)


# GET activity


@pytest.mark.parametrize(
    "id",
    ["-1", "+1", "1.0", "1e3", "x", "0x1", "", " ", "1 ", "٣", "１", "9223372036854775808", "9" * 30, "1,2", "null",
     "%00", "'; DROP TABLE activity;--"],
)  # fmt: skip
async def test_an_id_that_is_none(world: World, id: str) -> None:
    answer = await world.http(JANE).get(f"{POST}/{quote(id, safe='%')}")
    if id == "":
        check(answer, 404)
    else:
        check(answer, 400, flat=True)
        assert "'id'" in answer.message


@pytest.mark.parametrize("id", ["0", "1", "007", "9223372036854775807", "123456789"])
async def test_an_id_that_was_never_given_is_no_mistake(world: World, id: str) -> None:
    answer = await world.http(JANE).get(f"{POST}/{id}")
    assert (answer.status, answer.json) == (200, [])
    assert answer.headers["Buzz-Log-Epoch"] == world.node.hub.epoch


LIMITS = ["0", "-1", "10001", "1.5", "x", "", "٣", "9" * 30]
PARTIES = ["", "x", "person", "person:", "person:0", "person:-1", "person:x", "robot:1", "person:9223372036854775808",
           "person:٣", ":7", "7", "person:7:8", "PERSON:7"]  # fmt: skip
QUERIES = [
    *((f"{POST}/0?limit={quote(value)}", "limit") for value in LIMITS),
    *((f"{POST}/0?party={quote(value)}", "party") for value in PARTIES),
    *((f"{POST}?limit={quote(value)}", "limit") for value in LIMITS),
    *((f"{POST}?party={quote(value)}", "party") for value in PARTIES),
    *((f"{POST}?before={quote(value)}", "before") for value in ("", "x", "-1", "1.5", "9223372036854775808")),
    (f"{POST}/0?limit=1&limit=2", "limit"),
    (f"{POST}/0?nonsense=1", "nonsense"),
    (f"{POST}/0?before=7", "before"),
    (f"{POST}?after=7", "after"),
]


async def test_a_query_that_does_not_fit_is_named(world: World) -> None:
    http, wrong = world.http(JANE), []
    for path, name in QUERIES:
        answer = await http.get(path)
        if answer.status != 400 or not is_flat(answer) or f"'{name}'" not in answer.message:
            wrong.append((path, answer.status, answer.body[:200]))
    assert not wrong
    for path, name in (
        (path.replace(POST, "/apps/buzz/conversations"), name) for path, name in QUERIES if "?limit" in path
    ):
        answer = await http.get(path.replace("/0?", "?"))
        check(answer, 400)
        assert f"'{name}'" in answer.message


# The other errors, in both ways and shapes


async def test_forbidden(world: World) -> None:
    jane, activity = await world.join(JANE), chat(BOB, JANE)
    answer = await world.http(JANE).post(activity)
    check(answer, 403)
    frame = await jane.post(activity)
    assert (frame["type"], frame["code"]) == ("error", "forbidden")
    assert frame["message"] in answer.message


async def test_not_found(world: World) -> None:
    jane = await world.join(JANE)
    for activity in (chat(JANE, 10**12), chat(JANE, 10**12, receivable_type="company")):
        answer = await world.http(JANE).post(activity)
        check(answer, 404)
        frame = await jane.post(activity)
        assert (frame["type"], frame["code"]) == ("error", "not_found")
        assert frame["message"] == answer.message
    for path in ("/nope", "/apps/buzz/nope", f"{POST}/1/2"):
        check(await world.http(JANE).get(path), 404)


async def test_method_not_allowed(world: World) -> None:
    for method, path, allowed in (
        ("PUT", POST, {"GET", "HEAD", "POST"}),
        ("DELETE", f"{POST}/0", {"GET", "HEAD"}),
        ("POST", "/apps/buzz/socket", {"GET"}),
        ("GET", "/apps/buzz/clear", {"DELETE"}),
    ):
        answer = await world.http(JANE)(method, path)
        check(answer, 405)
        assert set(answer.headers["Allow"].replace(" ", "").split(",")) == allowed


async def test_conflict(world: World) -> None:
    jane, message = await world.join(JANE), chat(JANE, BOB)
    await jane.post(message)
    other = message | {"receivable_id": JANE}
    check(await world.http(JANE).post(other), 422)
    assert (await jane.post(other))["code"] == "conflict"


async def test_rate_limited_over_both_ways_together(open_: OpenWorld) -> None:
    world = await open_(send_rate_limit=5)
    jane, bob, http = await world.join(JANE), await world.join(BOB), world.http(JANE)
    for number in range(10):
        assert (await jane.post(chat(JANE, BOB)))["type"] == "ack", number
        assert (await http.post(chat(JANE, BOB))).status == 200, number
    limited = await jane.post(chat(JANE, BOB))
    while limited["type"] == "ack":  # a token came back meanwhile
        limited = await jane.post(chat(JANE, BOB))
    assert (limited["code"], 0 < limited["retry_after"] <= 1) == ("rate_limited", True)
    answer = await http.post(chat(JANE, BOB))
    while answer.status == 200:
        answer = await http.post(chat(JANE, BOB))
    check(answer, 429)
    await jane.alive()
    assert (await bob.post(chat(BOB, JANE)))["type"] == "ack", "each person has their own"


async def test_unavailable_once_the_log_takes_no_more(world: World) -> None:
    jane = await world.join(JANE)
    await world.node.log.close()
    check(await world.http(JANE).post(chat(JANE, BOB)), 503)
    frame = await jane.post(chat(JANE, BOB))
    assert (frame["code"], frame["retry_after"] > 0) == ("unavailable", True)
    await jane.alive()


async def test_a_socket_route_without_an_upgrade(world: World) -> None:
    answer = await world.http(JANE).get("/apps/buzz/socket")
    assert 400 <= answer.status < 500
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "lines",
    [
        [b"POST /apps/buzz/activity HTTP/1.1", b"Content-Length: -1"],
        [b"POST /apps/buzz/activity HTTP/1.1", b"Content-Length: 5", b"Content-Length: 6"],
        [b"POST /apps/buzz/activity HTTP/1.1", b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"POST /apps/buzz/activity HTTP/9.9"],
        [b"NONSENSE"],
        [b"GET /apps/buzz/activity/0 HTTP/1.1", b"Authorization: Bearer " + b"x" * 100_000],
        [b"GET /" + b"x" * 100_000 + b" HTTP/1.1"],
        [b"GET /apps/buzz/activity/1 HTTP/1.1", *(b"X-%d: y" % number for number in range(200))],
        [b"GET /apps/buzz/activity/%ff HTTP/1.1"],
        [b"GET /apps/buzz/activity/0?limit=%ff HTTP/1.1"],
        [b"GET /apps/buzz/activity/0?%ff=%ff HTTP/1.1"],
        [b"GET http://[::1 HTTP/1.1"],
    ],
    ids=lambda lines: lines[0][:40].decode("latin-1"),
)
async def test_what_is_hardly_http_is_refused_and_the_server_goes_on(world: World, lines: list[bytes]) -> None:
    lines = [lines[0], *lines[1:]]
    if not any(line.startswith(b"Authorization") for line in lines):
        lines.append(b"Authorization: Bearer " + world.tokens.person(JANE).encode())
    answer = await by_hand(world, *lines)
    assert answer[9:10] == b"4", answer[:200]
    assert b"\r\nX-Request-Id: " in answer
    shown = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert shown.get("error") is True or shown["error"]["code"] == answer[9:12].decode()
    assert (await world.http(JANE).get(f"{POST}/0")).status == 200


@pytest.mark.parametrize(
    "line",
    [b"Authorization: Bearer CANARY.CANARY.CANARY\x01", b"CANARY canary: x", b"X: CANARY" + b"x" * 100_000],
    ids=["a control character", "a bad name", "too long"],
)
async def test_a_request_that_can_not_be_read_is_answered_without_its_own_words(
    world: World, watch: Watch, line: bytes
) -> None:
    answer = await by_hand(world, b"GET /healthz HTTP/1.1", line)
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"CANARY" not in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {
        "error": {"code": "400", "message": "Bad Request: The request cannot be fulfilled due to bad syntax."}
    }
    assert "CANARY" not in str(watch.log)


async def test_an_expectation_that_nobody_knows(world: World) -> None:
    answer = await by_hand(world, b"POST /apps/buzz/activity HTTP/1.1", b"Expect: miracles", b"Content-Length: 0")
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": {"code": "417", "message": "Expectation Failed"}}


async def test_a_packed_body_is_refused_whoever_sends_it_and_whatever_is_in_it(world: World) -> None:
    for token in (world.tokens.person(JANE), "nonsense"):
        answer = await by_hand(
            world,
            b"POST /apps/buzz/activity HTTP/1.1",
            b"Authorization: Bearer " + token.encode(),
            b"Content-Type: application/json",
            b"Content-Encoding: gzip",
            b"Content-Length: 5",
            body=b"abcde",
        )
        assert answer.startswith(b"HTTP/1.1 415 ")


async def test_who_hangs_up_in_the_middle_of_an_answer_is_no_error(open_: OpenWorld) -> None:
    world = await open_(ring_size=1)
    jane = await world.join(JANE)
    for _ in range(40):
        await jane.post(chat(JANE, BOB, "x" * 60_000))
    token = world.tokens.person(BOB).encode()
    parts = urlsplit(world.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1_000)
    writer.write(b"GET /apps/buzz/activity/0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + b"\r\n\r\n")
    await reader.readexactly(1_000)
    writer.transport.abort()
    assert len((await world.http(BOB).get(f"{POST}/0")).json) == 40


async def test_an_answer_that_can_not_be_finished_is_broken_off(
    open_: OpenWorld, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not ended as if that were all, and no second answer in the midst of the first."""
    world = await open_()
    jane = await world.join(JANE)
    for _ in range(3):  # more than one piece: what fails before the first is sent is a plain 503
        await jane.post(chat(JANE, BOB, "x" * 60_000))
    activities = world.node.activities
    stream = activities.stream

    async def cut(wanted: Range) -> AsyncIterator[list[Activity]]:
        async for page in stream(wanted):
            yield page
        raise StorageUnavailable("the disk is gone")

    monkeypatch.setattr(activities, "stream", cut)
    watch.expect("answer interrupted")
    answer = await by_hand(
        world, b"GET /apps/buzz/activity/0 HTTP/1.1", b"Authorization: Bearer " + world.tokens.person(BOB).encode()
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert not answer.endswith(b"0\r\n\r\n")


async def test_who_hangs_up_in_the_middle_of_a_body_leaves_nothing(world: World) -> None:
    parts = urlsplit(world.url)
    for _ in range(5):
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        token = world.tokens.person(JANE).encode()
        writer.write(
            b"POST /apps/buzz/activity HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
            b"Authorization: Bearer " + token + b"\r\n\r\n{"
        )
        await writer.drain()
        writer.transport.abort()
    assert (await world.http(JANE).get(f"{POST}/0")).json == []
