"""What Buzz asks of other servers: it asks for answers as they are, and unpacks none that comes packed all the same."""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.http_parser import DeflateBuffer
from aiohttp.test_utils import TestServer

from server.auth.jwks import JwksError, Provider, ProviderKeys
from server.http.outbound import AnswerTooLarge, open_session, read_answer
from server.twilio.api import TwilioError, open_twilio_api
from server.webhooks.message import WebhookMessage
from server.webhooks.sender import ANSWER_BYTES, open_sender

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SERVER = Path(__file__).parents[2] / "server"
ACCOUNT = "AC" + "0" * 32


class Elsewhere:
    """A server that answers whatever is asked with one body."""

    def __init__(self) -> None:
        self.url = ""
        self.asked_for: list[str | None] = []
        self.body = b""
        self.coding: str | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.asked_for.append(request.headers.get("Accept-Encoding"))
        response = web.Response(body=self.body)
        if self.coding is not None:
            response.headers["Content-Encoding"] = self.coding
        return response


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    made, application = Elsewhere(), web.Application()
    application.router.add_route("*", "/{path:.*}", made.answer)
    async with TestServer(application) as server:
        made.url = str(server.make_url("")).rstrip("/")
        yield made


@pytest.fixture(params=[("gzip", gzip.compress), ("zstd", zstd.compress), ("deflate", None), ("br", None)])
def packed(request: pytest.FixtureRequest, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    """It answers with a few kilobytes that would unpack to many megabytes. Unpacking fails the test."""
    coding: str
    pack: Callable[[bytes], bytes] | None
    coding, pack = request.param
    elsewhere.coding, elsewhere.body = coding, pack(b" " * 20_000_000) if pack else b"x" * 1_000

    def unpacked(*_: object) -> bool:
        raise AssertionError("an answer was unpacked")

    monkeypatch.setattr(DeflateBuffer, "feed_data", unpacked)
    return elsewhere


async def test_the_identity_providers_keys(packed: Elsewhere) -> None:
    keys = ProviderKeys(Provider(f"{packed.url}/jwks", "https://login.example", "buzz"), lambda: 0)
    with pytest.raises(JwksError, match="packed"):
        await keys.refresh()
    assert packed.asked_for == ["identity"]


async def test_twilios_api_and_recordings(packed: Elsewhere) -> None:
    async with open_twilio_api(packed.url, ACCOUNT, "token") as api:
        with pytest.raises(aiohttp.ClientError, match="packed"):
            await api.get("IncomingPhoneNumbers.json")
        with pytest.raises(aiohttp.ClientError, match="packed"):
            await api.post("IncomingPhoneNumbers.json", {"FriendlyName": "x"})
        with pytest.raises(aiohttp.ClientError, match="packed"):
            await api.fetch("Recordings/RE1.mp3", 1_000_000)
    assert packed.asked_for == ["identity"] * 3


async def test_webhook_receivers(packed: Elsewhere) -> None:
    async with open_sender(5, allow_loopback=True) as sender:
        answer = await sender.post(WebhookMessage(f"{packed.url}/hook", {}, b"{}"))
    assert answer.ok, "its status says that it has the event"
    assert 0 < len(answer.text) <= ANSWER_BYTES
    assert packed.asked_for == ["identity"]


@pytest.mark.parametrize("coding", [None, "identity", "Identity", ""])
async def test_an_answer_as_it_is_is_read_whole(elsewhere: Elsewhere, coding: str | None) -> None:
    elsewhere.coding, elsewhere.body = coding, b"x" * 300_000
    async with open_session() as session, session.get(elsewhere.url) as response:
        assert await read_answer(response, 300_000) == elsewhere.body
    async with open_session() as session, session.get(elsewhere.url) as response:
        with pytest.raises(AnswerTooLarge):
            await read_answer(response, 299_999)


async def test_a_file_of_twilios_beyond_its_limit_is_told_as_too_large(elsewhere: Elsewhere) -> None:
    elsewhere.body = b"x" * 1_001
    async with open_twilio_api(elsewhere.url, ACCOUNT, "token") as api:
        with pytest.raises(TwilioError) as refused:
            await api.fetch("Recordings/RE1.mp3", 1_000)
    assert refused.value.status == 413


def test_the_server_opens_no_other_session() -> None:
    opened = {
        path.relative_to(SERVER).as_posix()
        for path in SERVER.rglob("*.py")
        if re.search(r"ClientSession\(", path.read_text()) and "cli" not in path.parts
    }
    assert opened == {"http/outbound.py"}
