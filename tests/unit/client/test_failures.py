"""Why there is no answer, in words: asked of real sockets, by HTTP and by a websocket."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
import trustme
from websockets.asyncio.client import connect

from buzz_client.failures import why_no_answer
from tests.servers.other_programs import Serve, answers_at_once, is_not_http, listening

Ask = Callable[[str], Awaitable[None]]


async def by_http(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/"):
        pass


async def by_socket(url: str) -> None:
    async with connect(url.replace("http", "ws", 1), proxy=None):
        pass


async def closes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def why(ask: Ask, url: str) -> str:
    try:
        async with asyncio.timeout(30):
            await ask(url)
    except Exception as error:  # noqa: BLE001 - whatever it is, it has words
        return why_no_answer(error)
    raise AssertionError("it answered")


@pytest.fixture(params=[by_http, by_socket])
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen


async def test_nothing_listens(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        assert await why(ask, f"http://{host}:{port}") == "nothing answers there; is the server running?"


async def test_the_name_is_unknown(ask: Ask) -> None:
    assert "host name" in await why(ask, "http://nobody.invalid")


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        (closes, "it closed the connection without an answer"),
        (is_not_http, "it does not answer as a Buzz server does; is the address right?"),
    ],
)
async def test_another_program_listens(ask: Ask, serve: Serve, said: str) -> None:
    async with listening(serve) as address:
        assert await why(ask, f"http://{address}") == said


async def test_it_has_no_tls(ask: Ask) -> None:
    async with listening(answers_at_once) as address:
        assert await why(ask, f"https://{address}") == "it answers without TLS; write http:// instead of https://"


async def test_its_certificate_is_nobodys(ask: Ask) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    async with listening(closes, tls) as address:
        said = await why(ask, f"https://{address}")
    assert said.startswith("its certificate is not accepted (")
    assert "URL" not in said


async def test_a_name_with_several_addresses_that_all_refuse() -> None:
    error = OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed")
    assert why_no_answer(error) == "nothing answers there; is the server running?"


async def test_what_is_unknown_keeps_its_own_words() -> None:
    assert why_no_answer(OSError(28, "No space left on device")) == "No space left on device"
    assert why_no_answer(ValueError()) == "ValueError"
