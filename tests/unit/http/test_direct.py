"""Requests that are answered where their bytes arrive, on connections that aiohttp serves too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage

from server.http.direct import DIRECT, DirectConnection
from server.http.listening import HttpServer, listen
from tests.harness.connections import client, http_server
from tests.harness.waiting import until

DIRECTLY = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ndirectly"
GET = b"GET /direct HTTP/1.1\r\nHost: here\r\n\r\n"
BY_AIOHTTP = b"GET /direct?decline HTTP/1.1\r\nHost: here\r\n\r\n"
LATER = b"GET /direct?later HTTP/1.1\r\nHost: here\r\n\r\n"
LAST = b"GET /direct?decline HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"


class Place:
    """A server whose path ``/direct`` answers "directly", at once or later, or "by aiohttp"."""

    def __init__(self) -> None:
        self.later: list[DirectConnection] = []
        self.application = web.Application()
        self.application[DIRECT] = {"/direct": self._take}
        self.application.router.add_route("*", "/direct", self._by_aiohttp)

    def _take(self, connection: DirectConnection, message: RawRequestMessage) -> bool:
        if message.path.endswith("decline"):
            return False
        if message.path.endswith("later"):
            self.later.append(connection)
        else:
            connection.answer(DIRECTLY)
        return True

    async def _by_aiohttp(self, request: web.Request) -> web.Response:
        return web.Response(text=f"by aiohttp{(await request.read()).decode()}")


async def body(reader: asyncio.StreamReader) -> str:
    """Return the next response's body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return (await reader.readexactly(length)).decode()


async def taken_later(
    place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, before: bytes
) -> DirectConnection:
    """Send a request that is answered later, after another one if there is one ``before``; returns its connection."""
    if before:
        writer.write(before)
        await body(reader)
    writer.write(LATER)
    await until(lambda: len(place.later) == 1)
    return place.later[0]


async def test_both_ways_take_turns_on_one_connection() -> None:
    async with http_server(Place().application) as port, client(port) as (reader, writer):
        for request, expected in [(GET, "directly"), (BY_AIOHTTP, "by aiohttp"), (GET, "directly"), (GET, "directly")]:
            writer.write(request)
            assert await body(reader) == expected
        writer.write(LAST)
        assert await body(reader) == "by aiohttp"
        assert await reader.read() == b""


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_requests_that_come_together_are_answered_in_their_order(pieces: int) -> None:
    async with http_server(Place().application) as port, client(port) as (reader, writer):
        sent = GET + BY_AIOHTTP + GET + LATER.replace(b"later", b"decline") + GET
        size = -(-len(sent) // pieces)
        for start in range(0, len(sent), size):
            writer.write(sent[start : start + size])
            await writer.drain()
            await asyncio.sleep(0)
        answers = [await body(reader) for _ in range(5)]
        assert [answers[1], answers[3]] == ["by aiohttp"] * 2


async def test_what_comes_during_a_later_answer_is_answered_after_it() -> None:
    place = Place()
    async with http_server(place.application) as port, client(port) as (reader, writer):
        writer.write(LATER)
        await until(lambda: len(place.later) == 1)
        writer.write(LAST)
        await asyncio.sleep(0)
        place.later[0].answer(DIRECTLY)
        assert [await body(reader), await body(reader)] == ["directly", "by aiohttp"]


@pytest.mark.parametrize("before", [b"", BY_AIOHTTP], ids=["a new connection", "one that aiohttp has served"])
async def test_a_request_may_be_declined_later(before: bytes) -> None:
    place = Place()
    async with http_server(place.application) as port, client(port) as (reader, writer):
        (await taken_later(place, reader, writer, before)).decline()
        assert await body(reader) == "by aiohttp"


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /direct HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n",
        b"GET /direct HTTP/1.0\r\nHost: here\r\n\r\n",
        b"GET /direct HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\n\r\n",
        b"GET /direct HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\n\r\n!",
        b"GET /direct HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n!\r\n0\r\n\r\n",
        b"GET /%64irect HTTP/1.1\r\nHost: here\r\n\r\n",
        b"HEAD /direct HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /direct HTTP/1.1\r\nHost: here\r\nContent-Encoding: gzip\r\n\r\n",
        b"no request at all\r\n\r\n",
    ],
)
async def test_whatever_is_unusual_is_answered_by_aiohttp(request_: bytes) -> None:
    async with http_server(Place().application) as port, client(port) as (reader, writer):
        writer.write(request_)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.")
        assert b"Date: " in head or b"100 Continue" in head


@pytest.mark.parametrize("first", [[], [GET], [BY_AIOHTTP], [GET, BY_AIOHTTP, GET]])
async def test_an_idle_connection_is_closed(first: list[bytes]) -> None:
    async with http_server(Place().application, keepalive_timeout=0.1) as port, client(port) as (reader, writer):
        for request in first:
            writer.write(request)
            await body(reader)
        assert await reader.read() == b""


@pytest.mark.parametrize("before", [b"", BY_AIOHTTP], ids=["a new connection", "one that aiohttp has served"])
async def test_a_connection_that_waits_for_its_answer_is_not_idle(before: bytes) -> None:
    place = Place()
    async with http_server(place.application) as port, client(port) as (reader, writer):
        connection = await taken_later(place, reader, writer, before)
        connection._next_keepalive_close_time = 0
        connection._process_keepalive()
        connection.answer(DIRECTLY)
        assert await body(reader) == "directly"
        connection._next_keepalive_close_time = 0
        connection._process_keepalive()
        assert await reader.read() == b""


async def test_the_end_of_a_server_waits_for_a_later_answer() -> None:
    place = Place()
    async with client_of(place) as (reader, writer, server):
        writer.write(LATER)
        await until(lambda: len(place.later) == 1)
        closing = asyncio.ensure_future(server.close())
        await asyncio.sleep(0)
        place.later[0].answer(DIRECTLY)
        assert await body(reader) == "directly"
        assert await reader.read() == b""
        await closing


@asynccontextmanager
async def client_of(place: Place) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, HttpServer]]:
    server = HttpServer(place.application, listen("127.0.0.1", 0), 5)
    port = int((await server.start()).rpartition(":")[2])
    async with client(port) as (reader, writer):
        yield reader, writer, server


async def test_an_answer_to_a_client_that_has_gone_is_dropped() -> None:
    place = Place()
    async with http_server(place.application) as port:
        async with client(port) as (_, writer):
            writer.write(LATER)
            await until(lambda: len(place.later) == 1)
        await until(lambda: place.later[0].transport is None)
        place.later[0].answer(DIRECTLY)
        place.later[0].decline()
