"""`chat` asks whose token it has: it waits for a server that is busy, and says what a server refuses."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from buzz_client import Backoff, NotTheProtocol, Party, TokenRefused
from server.cli import talk
from server.cli.screen import PlainScreen
from server.cli.talk import TalkOptions, person_of

Ask = Callable[..., Awaitable[int]]


class EndOfTest(Exception):
    """Ends what would try for ever."""


class Twice:
    """Waits that are over at once; the third one never begins."""

    def __init__(self) -> None:
        self._left = [0.0, 0.0]

    def next_seconds(self) -> float:
        if not self._left:
            raise EndOfTest
        return self._left.pop()


def options_for(url: str) -> TalkOptions:
    return TalkOptions(url, "the-token", Party("person", 7), None, None, False, 20, False)


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
            return await person_of(options_for(str(server.make_url(""))), PlainScreen())

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
    with pytest.raises(NotTheProtocol, match=r"^no Buzz server at http://\S+ \(So it is. \(HTTP 404\)\); check"):
        await ask(404)


async def test_a_page_for_people_is_not_shown_as_a_reason() -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<!DOCTYPE html><title>Not here</title>", status=404, content_type="text/html")

    application = web.Application()
    application.router.add_get("/apps/buzz/me", page)
    async with TestServer(application) as server:
        with pytest.raises(NotTheProtocol, match=r"\(the server gave no reason \(HTTP 404\)\)"):
            await person_of(options_for(str(server.make_url(""))), PlainScreen())


async def test_it_says_how_to_start_the_server_if_nothing_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(talk, "Backoff", Twice)
    with pytest.raises(EndOfTest):
        await person_of(options_for(f"http://127.0.0.1:{port}"), PlainScreen())
    said = capsys.readouterr().err
    assert said.startswith(f"Nothing answers at http://127.0.0.1:{port}: is the server running? Start it with `")
    assert said.endswith(f"run.py serve --dev --port {port}`. Trying again; Ctrl-C ends\n")
    assert said.count("\n") == 1
