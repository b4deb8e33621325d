"""Why another server gave no answer, in words: asked of real sockets through the session for others' addresses."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import aiohttp
import httpx
import pytest
import trustme

from server.http.failures import why_no_answer
from server.http.outbound import open_guarded_session
from tests.servers.other_programs import Serve, answers_at_once, is_not_http, listening

Ask = Callable[[str], Awaitable[object]]

_MORE_THAN_WAIT = 8
"""More connections than wait for a listener that accepts none."""


async def by_aiohttp(url: str, connect_seconds: float | None = None) -> None:
    limit = aiohttp.ClientTimeout(sock_connect=connect_seconds)
    async with (
        open_guarded_session("test", allow_loopback=True) as session,
        session.post(url, data=b"x", timeout=limit),
    ):
        pass


async def by_httpx(url: str, connect_seconds: float | None = None) -> None:
    limit = httpx.Timeout(None, connect=connect_seconds)
    async with httpx.AsyncClient(trust_env=False, timeout=limit) as client:
        await client.post(url, content=b"x")


@pytest.fixture(params=[by_aiohttp, by_httpx])
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def why(ask: Ask, url: str) -> str:
    try:
        async with asyncio.timeout(30):
            await ask(url)
    except (aiohttp.ClientError, httpx.HTTPError, OSError) as error:
        said = why_no_answer(error, trust="BUZZ_WEBHOOK_CA_FILE")
        assert "a-secret" not in said
        return said
    raise AssertionError("it answered")


async def test_nothing_listens(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert await why(ask, f"http://127.0.0.1:{port}/") == "nothing listens at its address and port; is it running?"


async def test_the_name_is_unknown(ask: Ask) -> None:
    assert "host name" in await why(ask, "https://nobody.invalid/")


async def test_it_closes_the_connection() -> None:
    async with listening(closes) as address:
        assert await why(by_aiohttp, f"http://{address}/a-secret") == "it closed the connection before it answered"


async def test_it_speaks_no_http() -> None:
    async with listening(is_not_http) as address:
        assert await why(by_aiohttp, f"http://{address}/a-secret") == "its answer can't be read as HTTP"


@pytest.mark.parametrize("serve", [closes, is_not_http])
async def test_of_httpx_it_says_that_the_answer_is_not_whole(serve: Serve) -> None:
    async with listening(serve) as address:
        assert await why(by_httpx, f"http://{address}/a-secret") == "its answer ended early, or can't be read"


@pytest.mark.parametrize("by", [by_aiohttp, by_httpx])
async def test_it_does_not_answer_in_time(by: Callable[[str, float], Awaitable[object]]) -> None:
    """A listener whose queue is full: no further connection to it comes about."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        address = full.getsockname()
        for _ in range(_MORE_THAN_WAIT):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(address)
        assert (
            await why(lambda url: by(url, 1), f"http://127.0.0.1:{address[1]}/a-secret") == "it did not answer in time"
        )


async def test_it_has_no_tls(ask: Ask) -> None:
    async with listening(answers_at_once) as address:
        assert (await why(ask, f"https://{address}/a-secret")).startswith("it does not answer by TLS (")


async def test_its_certificate_is_nobodys(ask: Ask) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    async with listening(closes, tls) as address:
        said = await why(ask, f"https://{address}/a-secret")
    assert said.startswith("its certificate is not accepted (")
    assert said.endswith("; BUZZ_WEBHOOK_CA_FILE names more authorities")


async def test_an_address_that_is_not_public_is_named() -> None:
    async with open_guarded_session("test") as session:
        said = await why(lambda url: session.post(url), "http://127.0.0.1:1/a-secret")
    assert said == "127.0.0.1 is not a public address, and Buzz sends to public addresses only"
