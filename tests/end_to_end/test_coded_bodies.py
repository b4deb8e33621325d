"""A body that is packed (Content-Encoding) is refused before it is read, whoever sends it and wherever to."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp.http_parser import DeflateBuffer

from tests.harness.backend import SQLITE
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.world import World, stored

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.usual_backends(SQLITE)

PACKED = zstd.compress(b" " * 10_000_000)
ROUTES = [
    ("POST", "/healthz"),
    ("POST", "/apps/buzz/activity"),
    ("PUT", "/apps/buzz/public-key"),
    ("DELETE", "/apps/buzz/clear"),
    ("POST", "/privacy-requests/4711"),
    ("POST", "/webhooks/privacy-requests?source=1"),
    ("POST", "/twilio/privacy-line"),
    ("POST", "/apps/buzz/trust-lookup"),
    ("PATCH", "/admin/privacy-requests/1"),
    ("POST", "/there/is/no/such/route"),
    ("POST", "/%ff"),
    ("GET", "/readyz"),
    ("HEAD", "/healthz"),
    ("OPTIONS", "/apps/buzz/activity"),
]


async def exchange(world: World, *lines: str, body: bytes = b"") -> bytes:
    """Write a request, and read until the server ends the connection."""
    parts = urlsplit(world.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write("\r\n".join([lines[0], "Host: test", *lines[1:], "", ""]).encode() + body)
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def split(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """An answer's status, headers (names in lower case) and body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines}, body


def check(answer: bytes, method: str = "POST") -> None:
    """The documented 415, and the end of the connection after it."""
    status, headers, body = split(answer)
    assert status == 415, answer
    assert headers["x-request-id"]
    assert headers["accept-encoding"] == "identity"
    assert headers["connection"] == "close"
    if method != "HEAD":
        error = json.loads(body)["error"]
        assert error["code"] == "415"
        assert error["message"].startswith("Unsupported Media Type: ")


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the HTTP parser was about to unpack."""
    given: list[bytes] = []
    unpack = DeflateBuffer.feed_data

    def feed_data(self: DeflateBuffer, chunk: bytes, size: int) -> bool:
        given.append(chunk)
        return unpack(self, chunk, size)

    monkeypatch.setattr(DeflateBuffer, "feed_data", feed_data)
    return given


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_route_takes_a_packed_body(world: World, unpacked: list[bytes], method: str, path: str) -> None:
    length = f"Content-Length: {len(PACKED)}"
    answer = await exchange(world, f"{method} {path} HTTP/1.1", "Content-Encoding: zstd", length, body=PACKED)
    check(answer, method)
    assert unpacked == []


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_it_is_refused_before_any_of_it_has_come(world: World, method: str) -> None:
    parts = urlsplit(world.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"{method} /healthz HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 99\r\n"
    writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b'"}}')
    check(answer)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "coding", ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "compress", "identity, gzip", "gzip, identity", "new"]
)
async def test_every_coding_is_refused_with_a_good_token_too(world: World, unpacked: list[bytes], coding: str) -> None:
    body = gzip.compress(json.dumps(chat(JANE, BOB)).encode())
    for more in (f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"):
        answer = await exchange(
            world,
            "POST /apps/buzz/activity HTTP/1.1",
            f"Authorization: Bearer {world.tokens.person(JANE)}",
            "Content-Type: application/json",
            f"Content-Encoding: {coding}",
            more,
            body=body if "Length" in more else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        )
        check(answer)
    assert unpacked == []
    assert stored(world) == 0


async def test_two_headers_are_both_looked_at(world: World) -> None:
    length = f"Content-Length: {len(PACKED)}"
    coded = ("Content-Encoding: identity", "Content-Encoding: zstd")
    check(await exchange(world, "POST /healthz HTTP/1.1", *coded, length, body=PACKED))


@pytest.mark.parametrize("coding", ["identity", "Identity", "", "identity, identity"])
async def test_a_body_as_it_is_may_say_so(world: World, coding: str) -> None:
    headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
    data: Any = json.dumps(chat(JANE, BOB)).encode()
    answer = await world.http(JANE)("POST", "/apps/buzz/activity", data=data, headers=headers)
    assert answer.status == 200, answer.body


async def test_what_follows_on_the_connection_is_not_looked_at(world: World) -> None:
    first = b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx"
    line = first.decode().partition("\r\n")[0]
    answer = await exchange(world, line, "Content-Encoding: gzip", "Content-Length: 2", body=b"xx" + first)
    assert answer.count(b"HTTP/1.1") == 1
    check(answer)


async def test_an_upgrade_with_a_coding_is_refused(world: World) -> None:
    answer = await exchange(
        world,
        "GET /apps/buzz/socket HTTP/1.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Content-Encoding: gzip",
    )
    check(answer)
