"""What is answered by a shorter way, on paths without variables and in JSON, is what aiohttp would answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from protocol.errors import ApiError, ErrorCode
from server.http.listening import HttpServer, listen
from server.http.operations import Handler
from server.http.responses import JsonResponse, errors_middleware, json_response, mark, route_of

WAIT_SECONDS = 20
LAYER: web.RequestKey[str] = web.RequestKey("layer", str)


class Other(JsonResponse[Any]):
    """The same response, which is of another class and therefore goes aiohttp's way."""


def twin(request: web.Request) -> web.StreamResponse:
    """Answer with JSON that shows what a handler can see of its request. With ``?other`` by aiohttp's way."""
    assert request.app is not None
    seen = {"route": route_of(request), "handler": request.match_info.handler is not None, "from": request.get(LAYER)}
    answer = json_response(seen, int(request.query.get("status", "200")))
    return Other(body=answer.body, status=answer.status, headers=answer.headers) if "other" in request.query else answer


async def plain(request: web.Request) -> web.StreamResponse:
    return twin(request)


async def refused(_: web.Request) -> web.StreamResponse:
    raise ApiError(ErrorCode.BAD_REQUEST, "This is wrong.")


@web.middleware
async def inner(request: web.Request, handler: Handler) -> web.StreamResponse:
    request[LAYER] = "inner"
    return await handler(request)


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    application = web.Application(middlewares=[errors_middleware, inner])
    application.on_response_prepare.append(mark)
    application.add_routes(
        [
            web.get("/plain", plain),
            web.post("/plain", plain),
            web.get("/refused", refused),
            web.get("/refused/{path}", refused),
        ]
    )
    served = HttpServer(application, listen("127.0.0.1", 0), shutdown_timeout=5)
    try:
        url = await served.start()
        yield int(url.rpartition(":")[2])
    finally:
        await served.close()


async def exchange(port: int, *requests: str) -> bytes:
    """Return all that is answered to the requests, which are sent at once; the last one must end the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("".join(requests).encode())
    async with asyncio.timeout(WAIT_SECONDS):
        answer = await reader.read()
    writer.close()
    return answer


def parsed(answer: bytes) -> tuple[str, dict[str, str], str]:
    """Return the status line, the headers without those that differ each time, and the body."""
    head, _, body = answer.decode().partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert re.fullmatch("[0-9a-f]{16}", headers.pop("X-Request-Id"))
    assert headers.pop("Date").endswith("GMT")
    return status, headers, body


@pytest.mark.parametrize(
    "more",
    [
        "Connection: close\r\n",
        "Connection: close\r\nOrigin: https://elsewhere.example\r\n",
        "Connection: close\r\nAccept-Encoding: gzip\r\n",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("status", ["200", "404", "204"])
async def test_it_is_the_answer_of_aiohttp(method: str, version: str, status: str, more: str) -> None:
    request = f"{method} /plain?status={status}%s HTTP/{version}\r\nHost: here\r\nContent-Length: 0\r\n{more}\r\n"
    async with server() as port:
        answers = [parsed(await exchange(port, request % other)) for other in ("", "&other")]
    assert answers[0] == answers[1]
    assert answers[0][1]["Server"] == "buzz"
    if method != "HEAD" and status != "204":
        assert '"route":"/plain"' in answers[0][2]
        assert '"from":"inner"' in answers[0][2]


@pytest.mark.parametrize(("query", "resolved", "prepared"), [("", 0, 0), ("?other", 0, 1)])
async def test_the_shorter_way_is_taken(
    query: str, resolved: int, prepared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for kind, name in ((web.UrlDispatcher, "resolve"), (web.Response, "prepare")):
        method = getattr(kind, name)

        async def counted(*arguments: Any, name: str = name, method: Any = method) -> Any:
            calls.append(name)
            return await method(*arguments)

        monkeypatch.setattr(kind, name, counted)
    async with server() as port:
        await exchange(port, f"GET /plain{query} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    assert (calls.count("resolve"), calls.count("prepare")) == (resolved, prepared)


async def test_a_connection_is_kept_for_further_requests() -> None:
    def request(connection: str) -> str:
        return f"GET /plain HTTP/1.1\r\nHost: here\r\nConnection: {connection}\r\n\r\n"

    async with server() as port:
        answer = await exchange(port, request("keep-alive"), request("keep-alive"), request("close"))
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b"Connection: close") == 1
    assert len(set(re.findall(rb"X-Request-Id: (\w+)", answer))) == 3


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /refused", 400),
        ("GET /refused/it", 400),
        ("DELETE /plain", 405),
        ("GET /nothing", 404),
        ("GET /%70lain", 200),
        ("GET http://here/plain", 200),
        ("GET /plain/", 404),
    ],
)
async def test_which_requests_are_found(request_line: str, status: int) -> None:
    async with server() as port:
        answer = await exchange(port, f"{request_line} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    assert parsed(answer)[0].startswith(f"HTTP/1.1 {status} ")


async def test_a_request_that_expects_100_gets_it() -> None:
    headers = "Host: here\r\nConnection: close\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
    async with server() as port:
        answer = await exchange(port, f"POST /plain HTTP/1.1\r\n{headers}\r\n{{}}")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_a_client_that_does_not_read_holds_up_only_itself() -> None:
    async with server() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /plain HTTP/1.1\r\nHost: here\r\n\r\n" * 100)
        answer = await exchange(port, "GET /plain HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        assert parsed(answer)[0] == "HTTP/1.1 200 OK"
        writer.transport.abort()
