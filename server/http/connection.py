"""Connections below the routes: answers requests that reach no handler.

A request that can't be parsed as HTTP, or that has a compressed body, gets its documented answer here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Protocol

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from protocol.errors import ApiError, ErrorCode
from server.http.direct import DIRECT, Direct, DirectConnection
from server.http.newcomers import UPGRADES, Newcomer, Reader
from server.http.responses import JsonResponse, error_response, mark_response, of_aiohttp, whole_answer
from server.http.static_routes import Answering, StaticRoutes

IDLE_SECONDS = 75.0
"""A connection on which no whole request came for so long is closed: idle, or a head that is sent byte by byte. Longer
than the 60 seconds for which nginx keeps an idle upstream, so that it never picks one that is being closed."""
_logger = structlog.get_logger("http")


QUIET_SECONDS = 5.0
"""A connection on which no request is under way for so long may be closed to make room for others."""
NEW_SECONDS = 1.0
"""A connection gets a timer when it is so old: most of those that become live sockets never need one."""
_LOOKED_AT = 256


class Guest(Protocol):
    """A connection in the lobby."""

    def quiet_seconds(self, now: float) -> float:
        """Return for how many seconds no complete request has been handled; 0 while one is."""
        ...

    def force_close(self) -> None:
        """Close it at once."""
        ...

    def watch(self) -> None:
        """Close it when it has been idle for too long."""
        ...


class Lobby:
    """Limits the connections that are not live sockets: idle ones are closed for new ones.

    Otherwise a client that opens connections and sends nothing could use up the process's file descriptors.
    """

    def __init__(self, most: int, new_seconds: float = NEW_SECONDS) -> None:
        self._most = most
        self._new_seconds = new_seconds
        self._inside: dict[Guest, None] = {}
        self._new: dict[Guest, float] = {}
        self._watching = False

    def __len__(self) -> int:
        return len(self._inside)

    def enter(self, connection: Guest) -> None:
        """Add an accepted connection."""
        self._inside[connection] = None
        loop = asyncio.get_running_loop()
        self._new[connection] = loop.time()
        if not self._watching:
            self._watching = True
            loop.call_later(self._new_seconds, self._watch_older)

    def leave(self, connection: Guest) -> None:
        """Remove a connection that was closed or became a live socket. Does nothing if it is not in here."""
        self._inside.pop(connection, None)
        self._new.pop(connection, None)

    def _watch_older(self) -> None:
        """Watch the connections that are new no longer, and come again for the others."""
        loop = asyncio.get_running_loop()
        older = loop.time() - self._new_seconds / 2
        for connection, entered_at in list(self._new.items()):
            if entered_at > older:
                break
            del self._new[connection]
            connection.watch()
        self._watching = bool(self._new)
        if self._watching:
            loop.call_later(self._new_seconds, self._watch_older)

    def dismiss(self) -> None:
        """Close the connections on which nothing has come yet."""
        for connection in [each for each in self._new if isinstance(each, Newcomer)]:
            connection.force_close()

    def has_room(self, count: int) -> bool:
        """Return whether so many more may be accepted; closes idle connections for them if there are too many."""
        missing = len(self._inside) + count - self._most
        now = asyncio.get_running_loop().time()
        for connection in list(islice(self._inside, _LOOKED_AT)) if missing > 0 else ():
            del self._inside[connection]
            if connection.quiet_seconds(now) >= QUIET_SECONDS:
                connection.force_close()
                missing -= 1
                if missing <= 0:
                    break
            else:
                self._inside[connection] = None  # checked again after all others
        return missing <= 0


class HttpConnection(DirectConnection):
    """The connection of Buzz's servers.

    The answer to a client's mistake does not repeat its input, and is not logged as an error.
    """

    __slots__ = ("_lobby",)

    def __init__(self, manager: web.Server, lobby: Lobby, directs: Mapping[str, Direct], **more: Any) -> None:
        self._lobby = lobby
        super().__init__(manager, directs, **more)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._lobby.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._lobby.leave(self)
        super().connection_lost(exc)

    def quiet_seconds(self, now: float) -> float:
        """Return for how many seconds no complete request has been handled; 0 while one is."""
        return now - (self._next_keepalive_close_time - self._keepalive_timeout) if self.is_idle else 0.0

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to a request that reached no handler (400), or that a handler failed to answer."""
        if request.writer.output_size > 0:
            raise ConnectionError("An answer has begun: there can't be another.") from exc
        response = error_response(ApiError(ErrorCode.BAD_REQUEST if status == 400 else ErrorCode.INTERNAL))
        request_id = mark_response(response)
        if status == 400:
            _logger.debug("not an HTTP request", request_id=request_id, reason=type(exc).__name__)
        else:
            _logger.error("request failed", request_id=request_id, exc_info=exc)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response; one in JSON in one piece, if nothing about it is special.

        A refusal by aiohttp before any handler (an unknown ``Expect``) gets the documented form.
        """
        if type(resp) is JsonResponse and isinstance(request, web.Request) and self._send_whole(request, resp):
            return resp, False
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            resp = of_aiohttp(resp)
        return await super().finish_response(request, resp, start_time)

    def _send_whole(self, request: web.Request, response: JsonResponse[Any]) -> bool:
        """Send a response in one piece. False: it has to go aiohttp's way, and nothing was sent."""
        transport = self.transport
        if transport is None or transport.is_closing() or self._paused or self._upgraded:
            return False
        answer = whole_answer(request, response)
        if answer is None:
            return False
        request._finish()  # noqa: SLF001 - as the method of aiohttp that this replaces
        transport.write(answer)
        return True

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log an exception, except for a body that does not match its headers: that is a client's mistake."""
        if isinstance(kw.get("exc_info"), web.RequestPayloadError | HttpProcessingError):
            self.log_debug(*args, **kw)
        else:
            super().log_exception(*args, **kw)


def connections(runner: web.AppRunner, lobby: Lobby, **more: Any) -> Callable[[], asyncio.Protocol]:
    """Return the factory of the protocol of each accepted connection, for a set-up runner; ``more`` as for aiohttp."""
    server, loop = runner.server, asyncio.get_running_loop()
    assert server is not None
    server.request_handler = _refusing_codings(StaticRoutes(runner.app, server.request_handler).answer)
    # By default aiohttp decompresses a body as it arrives, before any route or credential is checked.
    options = {"access_log": None, "keepalive_timeout": IDLE_SECONDS, **more, "auto_decompress": False}
    upgrades = runner.app.get(UPGRADES, {})
    others: Mapping[str, Direct] = runner.app.get(DIRECT, {})
    directs: Mapping[str, Direct] = {**upgrades, **others}

    def http() -> HttpConnection:
        return HttpConnection(server, lobby, directs, loop=loop, **options)

    def become_http(transport: asyncio.Transport, data: bytes) -> None:
        connection = http()
        connection.connection_made(transport)
        transport.set_protocol(connection)
        if data:
            connection.data_received(data)

    if not upgrades:
        return http
    reader = Reader(upgrades, lambda: http()._parser)  # type: ignore[arg-type, return-value]  # noqa: SLF001
    return lambda: Newcomer(reader, become_http, lobby.enter, lobby.leave)


def _refusing_codings(handle: Answering) -> Answering:
    """Answer a request with a compressed body with 415, before routes, middlewares and ``Expect``; handle others."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return _coding_refused() if _is_coded(request) else await handle(request)

    return answer


def _is_coded(request: web.BaseRequest) -> bool:
    if "Content-Encoding" not in request.headers:
        return False
    codings = ",".join(request.headers.getall("Content-Encoding")).lower().split(",")
    return any(coding.strip() not in ("", "identity") for coding in codings)


def _coding_refused() -> web.StreamResponse:
    refusal = "Unsupported Media Type: send the body uncompressed, without Content-Encoding."
    response = error_response(ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, refusal))
    response.headers["Accept-Encoding"] = "identity"  # RFC 9110, section 15.5.16
    mark_response(response)
    response.force_close()  # the body was not read
    return response
