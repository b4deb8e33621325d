"""`chat` asks whose token it has: it waits for a server that is busy, and says what a server refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from buzz_client import Backoff, HttpError, Party, TokenRefused
from server.cli import talk
from server.cli.screen import PlainScreen
from server.cli.talk import TalkOptions, person_of

Ask = Callable[..., Awaitable[int]]


@pytest.fixture
async def ask(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ask]:
    """Ask a server that gives these statuses, one for each request, and after them the person."""
    monkeypatch.setattr(talk, "Backoff", lambda: Backoff(base_seconds=0.001, cap_seconds=0.001))
    left: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer the-token"
        if left:
            return web.json_response({"error": {"message": "So it is."}}, status=left.pop(0))
        return web.json_response({"id": 456})

    application = web.Application()
    application.router.add_get("/apps/buzz/me", answer)
    async with TestServer(application) as server:

        async def asked(*statuses: int) -> int:
            left[:] = statuses
            to = Party("person", 7)
            options = TalkOptions(str(server.make_url("")), "the-token", to, None, None, False, 20, False)
            return await person_of(options, PlainScreen())

        yield asked


async def test_it_waits_for_a_busy_server_and_says_why_once(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    assert await ask(500, 503, 500) == 456
    notes = capsys.readouterr().err
    assert notes.count("(HTTP 500)") == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_told_as_such(ask: Ask, status: int) -> None:
    with pytest.raises(TokenRefused, match=rf"the token was not accepted \(refused with HTTP {status}: So it is\.\)"):
        await ask(status)


async def test_another_refusal_ends_it(ask: Ask) -> None:
    with pytest.raises(HttpError, match="404"):
        await ask(404)
