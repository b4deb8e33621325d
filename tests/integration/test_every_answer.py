"""What every answer has: the same headers for HEAD as for GET, the server's name, and a request id."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from protocol.activity import Activity
from server.http.operations import operation_of
from server.node.demo import load_demo
from server.services.activities import Activities
from storage.contract import Page, Range
from tests.harness.postings import message
from tests.harness.world import World, open_world

NO_HEAD = {
    "/apps/buzz/trust-lookup": "a look-up may store a blocked call, and HEAD shows no answer",
    "/apps/buzz/call-lookup": "the same",
    "/apps/buzz/socket": "an upgrade is a GET (RFC 6455, section 4.1)",
}
IN_PATHS = {"id": "1", "person_id": "7", "company_id": "123", "digest": "0000000000000000", "path": "admin/app.js"}
OF_ONE_ANSWER = {"date", "x-request-id", "transfer-encoding"}
"""These say how and when this answer was sent, not what it is."""


class Raw(NamedTuple):
    """An answer as it came: its status, its headers in small letters, and every byte after them."""

    status: int
    headers: dict[str, str]
    rest: bytes


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        await load_demo(opened.node.directory)
        yield opened


async def send(world: World, head: str) -> Raw:
    """Send a head as it is; return the answer's head, and all bytes after it if it says that the connection ends."""
    parts = urlsplit(world.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(head.encode("latin-1") + b"\r\n\r\n")
        async with asyncio.timeout(60):
            status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            rest = await reader.read() if headers.get("connection") == "close" else b""
    finally:
        writer.close()
    return Raw(int(status.split()[1]), headers, rest)


async def ask(world: World, method: str, path: str, token: str | None) -> Raw:
    lines = [f"{method} {path} HTTP/1.1", "Host: buzz", "Connection: close", "Accept-Encoding: gzip"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return await send(world, "\r\n".join(lines))


def gets(world: World) -> dict[str, str]:
    """Return the paths of all GET routes, with the credential of each."""
    found = {}
    for route in world.node.application.router.routes():
        if route.method == "GET" and route.resource is not None:
            description = operation_of(route.handler)
            assert description is not None
            found[route.resource.canonical] = description.credential
    return found


def filled(path: str) -> str:
    path = path.replace("/webhooks/recordings/{id}", "/webhooks/recordings/00000000-0000-4000-8000-000000000000")
    return re.sub(r"\{(\w+)\}", lambda found: IN_PATHS.get(found[1], "1"), path)


async def test_head_is_get_without_a_body(world: World) -> None:
    tokens = {"person": world.tokens.person(456), "admin": world.tokens.service("admin")}
    sent = {"sendable_type": "person", "sendable_id": 456, "receivable_type": "person", "receivable_id": 7}
    for _ in range(20):  # more than a history has uncompressed
        posted = await world.http(456)("POST", "/apps/buzz/activity", json={"type": "outgoing_call_missed", **sent})
        assert posted.status == 200
    for path, credential in gets(world).items():
        if path in NO_HEAD:
            continue
        get = await ask(world, "GET", filled(path), tokens.get(credential))
        head = await ask(world, "HEAD", filled(path), tokens.get(credential))
        assert head.status == get.status, path
        assert head.rest == b"", f"{path}: a body after the head of a HEAD would be read as the next answer"
        shown = [{name: one.headers[name] for name in one.headers.keys() - OF_ONE_ANSWER} for one in (get, head)]
        if path in ("/metrics", "/admin/stats", "/admin/nodes", "/admin/doctor"):
            for each in shown:
                each.pop("content-length", None)  # the figures change from one answer to the next
        assert shown[1] == shown[0], path


async def test_a_whole_history_is_not_read_for_head(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.running.append([message(456, 7) for _ in range(2_500)])
    reads = []
    original = Activities.read

    async def counted(self: Activities, wanted: Range) -> Page[Activity]:
        reads.append(wanted)
        return await original(self, wanted)

    monkeypatch.setattr(Activities, "read", counted)
    head = await ask(world, "HEAD", "/apps/buzz/activity/0", world.tokens.person(456))
    assert (head.status, len(reads)) == (200, 1)
    whole = await ask(world, "GET", "/apps/buzz/activity/0", world.tokens.person(456))
    assert len(reads) > 3
    assert head.headers["content-encoding"] == whole.headers["content-encoding"] == "gzip"


async def test_allow_names_head_where_get_is(world: World) -> None:
    for path in gets(world):
        refused = await ask(world, "TRACE", filled(path), None)
        assert refused.status == 405, path
        allowed = set(refused.headers["allow"].split(","))
        assert "GET" in allowed
        assert ("HEAD" in allowed) is (path not in NO_HEAD), path
    for path in ("/apps/buzz/trust-lookup", "/apps/buzz/socket"):
        assert (await ask(world, "HEAD", path, world.tokens.person(456))).status == 405


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /healthz HTTP/1.1\r\nHost: buzz\r\nConnection: close", 200),
        ("GET /nowhere HTTP/1.1\r\nHost: buzz\r\nConnection: close", 404),
        ("GET /apps/buzz/activity/0 HTTP/1.1\r\nHost: buzz\r\nConnection: close", 401),
        ("TRACE /healthz HTTP/1.1\r\nHost: buzz\r\nConnection: close", 405),
        ("GET /healthz HTTP/1.1\r\nHost: buzz\r\nConnection: close\r\nExpect: nothing", 417),
        ("POST /healthz HTTP/1.1\r\nHost: buzz\r\nContent-Encoding: gzip\r\nContent-Length: 0", 415),
        ("no HTTP at all", 400),
        ("GET / HTTP/1.1\r\nHost: buzz\r\nContent-Length: x", 400),
        (f"GET /{'a' * 10_000} HTTP/1.1\r\nHost: buzz", 400),
        ("GET /apps/buzz/socket HTTP/1.1\r\nHost: buzz\r\nConnection: close", 400),
        ("GET /apps/buzz/socket HTTP/1.1\r\nHost: buzz\r\nConnection: Upgrade\r\nUpgrade: websocket", 400),
    ],
)
async def test_every_answer_says_which_server_it_is(world: World, head: str, status: int) -> None:
    answer = await send(world, head)
    assert (answer.status, answer.headers["server"]) == (status, "buzz")
    assert answer.headers["x-request-id"]


async def test_an_upgrade_says_which_server_it_is(world: World) -> None:
    peer = await world.connect()
    assert peer.connection.response is not None
    assert peer.connection.response.headers["Server"] == "buzz"


async def test_a_node_that_is_full_says_which_server_it_is(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_sessions=1) as world:
        await world.connect()
        upgrade = "GET /apps/buzz/socket HTTP/1.1\r\nHost: buzz\r\nConnection: Upgrade\r\nUpgrade: websocket"
        refused = await send(world, f"{upgrade}\r\nConnection: close")
        assert (refused.status, refused.headers["server"]) == (503, "buzz")
