"""A history made smaller where the client asks for it: the same bytes, whole, in either coding."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from protocol.activity import ActivityType
from storage.contract import Posting
from tests.harness.backend import SQLITE
from tests.harness.http import Answer, Http
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.world import World

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.usual_backends(SQLITE)

NEWER, PAGE, BACKWARDS = "/apps/buzz/activity/0", "/apps/buzz/activity/0?limit=1500", "/apps/buzz/activity?limit=10"
MANY = 2_500  # more than a page of the stream, so that a second one goes through the same packer


@pytest.fixture
async def bytewise(world: World) -> AsyncIterator[Http]:
    """Jane's requests, their answers as they are on the wire."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield Http(session, world.url, world.tokens.person(JANE))


async def ask(bytewise: Http, path: str, accepted: str) -> Answer:
    return await bytewise.get(path, headers={"Accept-Encoding": accepted})


def unpacked(answer: Answer) -> bytes:
    match answer.headers.get("Content-Encoding"):
        case "gzip":
            unpacker = zlib.decompressobj(wbits=31)
            whole = unpacker.decompress(answer.body)
            assert unpacker.eof, "the stream has its end"
            assert unpacker.unused_data == b""
            return whole
        case "zstd":
            unpacking = zstd.ZstdDecompressor()
            whole = unpacking.decompress(answer.body)
            assert unpacking.eof, "the stream has its end"
            assert unpacking.unused_data == b""
            return whole
        case None:
            return answer.body
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize("path", [NEWER, PAGE, BACKWARDS])
async def test_a_history_is_the_same_in_every_coding(world: World, bytewise: Http, path: str) -> None:
    await world.running.append(
        [Posting(ActivityType.chat_message, JANE, BOB, JANE, None, f"{n:0>200}", f"{n:032}", 1) for n in range(MANY)]
    )
    plain = await ask(bytewise, path, "identity")
    assert "Content-Encoding" not in plain.headers
    assert len(json.loads(plain.body)) == {NEWER: MANY, PAGE: 1_500, BACKWARDS: 10}[path]
    for accepted, coding in (("gzip", "gzip"), ("zstd", "zstd"), ("gzip, zstd", "zstd"), ("zstd;q=0, gzip", "gzip")):
        answer = await ask(bytewise, path, accepted)
        assert answer.headers["Content-Encoding"] == coding
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers["Buzz-Log-Epoch"] == plain.headers["Buzz-Log-Epoch"]
        assert answer.headers.get("Link") == plain.headers.get("Link")
        assert len(answer.body) < len(plain.body) / 2
        assert unpacked(answer) == plain.body


async def test_what_is_small_or_not_asked_for_stays_as_it_is(world: World, bytewise: Http) -> None:
    jane = await world.join(JANE)
    await jane.post(chat(JANE, BOB))
    for path in (NEWER, PAGE, BACKWARDS):
        small = await ask(bytewise, path, "gzip, zstd")
        assert "Content-Encoding" not in small.headers
        assert small.headers["Vary"] == "Accept-Encoding"
    await jane.post(chat(JANE, BOB, "x" * 2_000))
    for accepted in ("", "*", "br, deflate", "gzip;q=0"):
        assert "Content-Encoding" not in (await ask(bytewise, NEWER, accepted)).headers
