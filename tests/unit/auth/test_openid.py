"""The provider's discovery document: what is refused, and how often it is read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from server.auth import openid
from server.auth.openid import (
    MAX_DOCUMENT_BYTES,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    OpenidError,
    OpenidProvider,
    origin_of,
    read_document,
)

ISSUER = "https://login.example/realm"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://login.example/realm/authorize",
    "token_endpoint": "https://tokens.example:8443/realm/token",
}


class Site:
    """A provider's web site, and how often its document was asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = 0
        self.status = 200
        self.body = b""

    async def handle(self, request: web.Request) -> web.Response:
        assert request.path == "/.well-known/openid-configuration"
        self.asked += 1
        return web.Response(body=self.body, status=self.status, content_type="application/json")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made, app = Site(), web.Application()
    app.router.add_get("/{path:.*}", made.handle)
    async with TestServer(app) as server:
        made.url = str(server.make_url("")).rstrip("/")
        made.body = json.dumps({**DOCUMENT, "issuer": made.url, "unknown": [1]}).encode()
        yield made


def provider(site: Site, now: list[float]) -> OpenidProvider:
    return OpenidProvider(site.url, "app", "openid", None, monotonic=lambda: now[0])


async def test_the_document_is_read_once(site: Site) -> None:
    found = provider(site, [0.0])
    first = await found.found()
    assert await found.found() is first
    assert site.asked == 1
    assert origin_of(first.token_endpoint) == "https://tokens.example:8443"
    assert found.name == site.url.removeprefix("http://")


async def test_a_provider_that_fails_is_not_asked_for_every_person(site: Site) -> None:
    site.status, now = 503, [100.0]
    found = provider(site, now)
    for _ in range(3):
        with pytest.raises(OpenidError, match="answered 503"):
            await found.found()
    assert site.asked == 1
    now[0] += RETRY_SECONDS
    site.status = 200
    assert (await found.found()).issuer == site.url
    assert site.asked == 2


class Naps:
    """Stands in for ``asyncio.sleep`` of the task that follows the document: the test says when each nap ends."""

    def __init__(self) -> None:
        self.lengths: asyncio.Queue[float] = asyncio.Queue()
        self.go_on = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.lengths.put_nowait(seconds)
        await self.go_on.acquire()

    async def next(self) -> float:
        async with asyncio.timeout(20):
            return await self.lengths.get()


async def test_a_document_that_could_not_be_read_again_is_tried_soon(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps, found = Naps(), provider(site, [0.0])
    monkeypatch.setattr(openid, "asyncio", SimpleNamespace(sleep=naps.sleep, timeout=asyncio.timeout))
    following = asyncio.create_task(found.follow())
    assert await naps.next() == REFRESH_SECONDS
    site.status = 503
    naps.go_on.release()
    assert await naps.next() == RETRY_SECONDS
    assert (await found.found()).issuer == site.url, "the earlier document goes on to be used"

    async def broken() -> None:
        raise ValueError("nobody thought of this")

    monkeypatch.setattr(found, "_read", broken)
    naps.go_on.release()
    assert await naps.next() == RETRY_SECONDS
    assert not following.done()
    following.cancel()


async def test_a_provider_that_is_gone_is_named() -> None:
    found = OpenidProvider("http://127.0.0.1:9", "app", "openid", None)
    with pytest.raises(OpenidError, match=r"http://127\.0\.0\.1:9/\.well-known/openid-configuration can't be read"):
        await found.found()


async def test_a_document_without_end_is_not_read_to_its_end(site: Site) -> None:
    site.body = b" " * (MAX_DOCUMENT_BYTES + 1)
    with pytest.raises(OpenidError, match="more than 262144 bytes"):
        await provider(site, [0.0]).found()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"issuer": "https://login.example/realm/"}, "of the issuer 'https://login.example/realm/'"),
        ({"token_endpoint": "http://login.example/token"}, "not https"),
        ({"token_endpoint": "javascript:alert(1)"}, "not https"),
        ({"token_endpoint": "https://"}, "not https"),
        ({"token_endpoint": "https://a.example;script-src */token"}, "not https"),
        ({"token_endpoint": "https://a.example *.evil.example/token"}, "not https"),
        ({"token_endpoint": "https://[::1/token"}, "not https"),
        ({"authorization_endpoint": "https://bücher.example/"}, "not https"),
        ({"end_session_endpoint": "http://login.example/out"}, "not https"),
        ({"authorization_endpoint": None}, "can't be used"),
        ({"token_endpoint": 5}, "can't be used"),
    ],
)
def test_a_document_that_would_lead_people_elsewhere_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(OpenidError) as refused:
        read_document(json.dumps({**DOCUMENT, **change}).encode(), ISSUER)
    assert why in str(refused.value)


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"\xff", b"[" * 100_000])
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(OpenidError, match="can't be used"):
        read_document(body, ISSUER)


def test_plain_http_is_for_this_machine_only() -> None:
    local = {**DOCUMENT, "token_endpoint": "http://127.0.0.1:8080/token"}
    assert read_document(json.dumps(local).encode(), ISSUER).token_endpoint == "http://127.0.0.1:8080/token"
