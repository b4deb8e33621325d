"""A connection until it is known what it is for: most become sockets, and need nothing of an HTTP connection.

If the first bytes are one whole request to upgrade, the path's handler may take the transport at once. Anything else
makes it an HTTP connection, which reads the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage

Upgrade = Callable[["Upgradable", RawRequestMessage], bool]
"""Takes a ``GET`` if it is a request to upgrade, or returns False. It ends with ``hand_over`` or ``decline``, then or
later."""
UPGRADES: web.AppKey[Mapping[str, Upgrade]] = web.AppKey("upgrades")
"""The handlers that take upgrades of an application, by path. Its middlewares and signals are not run for them."""


class Upgradable(Protocol):
    """A connection whose request asks to upgrade. ``transport`` is None when the client has gone."""

    transport: asyncio.Transport | None

    @property
    def peername(self) -> Any:
        """The other end of the connection."""
        ...

    @property
    def spoke_early(self) -> bool:
        """Whether bytes arrived after the request, before its answer."""
        ...

    def hand_over(self) -> tuple[asyncio.Transport, bytes]:
        """Give away the transport, and what it has read since; this object ends with it."""
        ...

    def decline(self) -> None:
        """Leave the request that was taken to aiohttp after all."""
        ...


class Reader:
    """Reads whole requests to upgrade with one parser of aiohttp's for all connections."""

    def __init__(self, upgrades: Mapping[str, Upgrade], parser: Callable[[], HttpRequestParser]) -> None:
        """``parser`` makes a parser as an HTTP connection has one, with the same limits."""
        self._upgrades = {f"GET {path} HTTP/1.1\r\n".encode(): upgrade for path, upgrade in upgrades.items()}
        self._new_parser = parser
        self._parser = parser()

    def read(self, data: bytes) -> tuple[Upgrade, RawRequestMessage] | None:
        """Return who takes the request that these bytes are; None if they are anything but one whole upgrade."""
        upgrade = self._upgrades.get(data[: data.find(b"\n") + 1])
        if upgrade is None or data.find(b"\r\n\r\n") != len(data) - 4:
            return None
        try:
            messages, upgraded, tail = self._parser.feed_data(data)
        except HttpProcessingError:
            messages, upgraded, tail = [], False, b""
        if len(messages) != 1 or not upgraded or tail:
            self._parser = self._new_parser()  # the rest of a request may be in the old one
            return None
        self._parser.set_upgraded(False)
        self._parser.message_consumed()
        message = messages[0][0]
        if hdrs.EXPECT in message.headers or hdrs.CONTENT_ENCODING in message.headers:
            return None
        return upgrade, message


class Newcomer(asyncio.Protocol):
    """The protocol of an accepted connection until then."""

    __slots__ = ("_become_http", "_data", "_entered", "_left", "_reader", "transport")

    def __init__(
        self,
        reader: Reader,
        become_http: Callable[[asyncio.Transport, bytes], None],
        entered: Callable[[Newcomer], None],
        left: Callable[[Newcomer], None],
    ) -> None:
        """``become_http(transport, bytes)`` makes it an HTTP connection that has read these bytes."""
        self._reader = reader
        self._become_http = become_http
        self._entered = entered
        self._left = left
        self._data = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        self._entered(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.transport = None
        self._left(self)

    def data_received(self, data: bytes) -> None:
        waits = bool(self._data)
        self._data += data
        found = None if waits else self._reader.read(data)
        if found is None or self.transport is None or self.transport.is_closing() or not found[0](self, found[1]):
            self.decline()

    @property
    def peername(self) -> Any:
        return None if self.transport is None else self.transport.get_extra_info("peername")

    @property
    def spoke_early(self) -> bool:
        return False  # it has become an HTTP connection then

    def hand_over(self) -> tuple[asyncio.Transport, bytes]:
        return self._gone(), b""

    def decline(self) -> None:
        if self.transport is not None:
            data, self._data = self._data, b""
            self._become_http(self._gone(), data)

    def force_close(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.close()

    def watch(self) -> None:
        """Become an HTTP connection, because nothing has come for a while: those have a timer."""
        if not self._data:
            self.decline()

    def quiet_seconds(self, now: float) -> float:
        """Return 0: it is new."""
        return 0.0

    def _gone(self) -> asyncio.Transport:
        transport, self.transport = self.transport, None
        if transport is None:
            raise ConnectionResetError("the client has disconnected")
        self._left(self)
        return transport
