"""Connections until it is known what they are for: upgrades are taken at once, all others become HTTP connections."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage

from server.http.listening import HttpServer, listen
from server.http.newcomers import UPGRADES, Newcomer, Upgradable
from tests.harness.connections import client, http_server
from tests.harness.waiting import until

MORE = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
UPGRADE = f"GET /socket HTTP/1.1\r\nHost: here\r\n{MORE}\r\n".encode()
PLAIN = b"GET /socket HTTP/1.1\r\nHost: here\r\n\r\n"


class Place:
    """A server whose ``/socket`` takes upgrades, if ``takes``, and says "taken"; aiohttp says "refused"."""

    def __init__(self) -> None:
        self.takes: bool | None = True
        self.waiting: list[Upgradable] = []
        self.kinds: list[type] = []
        self.application = web.Application()
        self.application[UPGRADES] = {"/socket": self._upgrade}
        self.application.router.add_get("/socket", self._refuse)

    def _upgrade(self, connection: Upgradable, message: RawRequestMessage) -> bool:
        if "Upgrade" not in message.headers:
            return False
        self.kinds.append(type(connection))
        assert message.headers["Host"] == "here"
        if self.takes is None:
            self.waiting.append(connection)
            return True
        if self.takes and not connection.spoke_early:
            transport, early = connection.hand_over()
            assert not early
            transport.write(b"taken")
            transport.close()
            return True
        return False

    async def _refuse(self, request: web.Request) -> web.Response:
        return web.Response(text="refused", status=400)


async def test_one_upgrade_after_the_other_is_taken_at_once() -> None:
    place = Place()
    async with http_server(place.application) as port:
        for _ in range(3):
            async with client(port) as (reader, writer):
                writer.write(UPGRADE)
                assert await reader.read() == b"taken"
    assert place.kinds == [Newcomer] * 3


@pytest.mark.parametrize(
    "said",
    [
        PLAIN,
        UPGRADE.replace(b"Host", b"Expect: 100-continue\r\nHost"),
        UPGRADE.replace(b"Host", b"Content-Encoding: gzip\r\nHost"),
        UPGRADE.replace(b"Host: here\r\n", b"Host: here\r\nContent-Length: 2\r\n") + b"{}",
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADE.replace(b"\r\n", b"\n"),
        UPGRADE.replace(b"Host: here", b"Host : here"),
        UPGRADE.replace(b"Host: here", b"Host: here\r\nContent-Length: 2\r\nTransfer-Encoding: chunked"),
        UPGRADE.replace(b"Host: here", b"Host: here\r\nX: " + b"x" * 9_000),
        UPGRADE.replace(b"Host: here", b"Host: here" + b"\r\nX: y" * 200),
        UPGRADE + b"\x81\x00",
        UPGRADE + UPGRADE,
    ],
)
async def test_whatever_else_comes_is_an_http_connections(said: bytes) -> None:
    place = Place()
    async with http_server(place.application) as port:
        async with client(port) as (reader, writer):
            writer.write(said)
            assert (await reader.readline()).startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 100"))
        assert Newcomer not in place.kinds
        async with client(port) as (reader, writer):  # what was wrong with it does not touch the next one
            writer.write(UPGRADE)
            assert await reader.read() == b"taken"


@pytest.mark.parametrize("whole", [UPGRADE, UPGRADE.replace(b"/socket", b"/socket?query")])
async def test_a_head_in_pieces_is_taken_by_the_http_connection(whole: bytes) -> None:
    place = Place()
    async with http_server(place.application) as port, client(port) as (reader, writer):
        writer.write(whole[:30])
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(whole[30:])
        assert await reader.read() == b"taken"
    assert len(place.kinds) == 1


async def test_what_is_declined_is_aiohttps() -> None:
    place = Place()
    place.takes = False
    async with http_server(place.application) as port, client(port) as (reader, writer):
        writer.write(UPGRADE)
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")


async def test_it_may_be_declined_later() -> None:
    place = Place()
    place.takes = None
    async with http_server(place.application) as port, client(port) as (reader, writer):
        writer.write(UPGRADE)
        await until(lambda: len(place.waiting) == 1)
        place.takes = False
        place.waiting[0].decline()
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        assert place.waiting[0].transport is None


async def test_frames_before_the_answer_make_it_an_http_connection() -> None:
    place = Place()
    place.takes = None
    async with http_server(place.application) as port, client(port) as (reader, writer):
        writer.write(UPGRADE)
        await until(lambda: len(place.waiting) == 1)
        place.takes = True
        writer.write(b"\x81\x00")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        assert place.waiting[0].transport is None


async def test_a_client_that_has_gone_is_seen() -> None:
    place = Place()
    place.takes = None
    async with http_server(place.application) as port:
        async with client(port) as (_, writer):
            writer.write(UPGRADE)
            await until(lambda: len(place.waiting) == 1)
        await until(lambda: place.waiting[0].transport is None)
        place.waiting[0].decline()
        with pytest.raises(ConnectionResetError):
            place.waiting[0].hand_over()


@pytest.mark.parametrize("said", [b"", UPGRADE[:30]])
async def test_a_connection_on_which_nothing_whole_comes_is_closed(said: bytes) -> None:
    async with http_server(Place().application, keepalive_timeout=0.05) as port, client(port) as (reader, writer):
        writer.write(said)
        assert await reader.read() == b""


async def test_the_end_of_the_server_closes_a_connection_on_which_nothing_came() -> None:
    place = Place()
    server = HttpServer(place.application, listen("127.0.0.1", 0), 5)
    port = int((await server.start()).rpartition(":")[2])
    async with client(port) as (reader, _):
        await until(lambda: bool(server._lobby))
        await server.close()
        assert await reader.read() == b""
