"""One socket, from its upgrade to its close: frames in, frames out, and a verdict at its end.

Nothing here reconnects; the supervisor does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from buzz_client.address import Address
from buzz_client.closing import Action, Verdict, after_close, after_refusal
from buzz_client.codec import Codec, Frame
from buzz_client.errors import NotTheProtocol, UnreadableAnswer
from buzz_client.failures import why_no_answer

_OPEN_TIMEOUT_SECONDS = 10.0
_CLOSE_TIMEOUT_SECONDS = 2.0
# The client's own pings: a dead server is noticed within half a minute, even if nothing is sent.
_PING_INTERVAL_SECONDS = 20.0
_PING_TIMEOUT_SECONDS = 10.0
# A frame holds up to 500 activities of up to 64 KiB each; this limits memory without refusing a valid one.
_MAX_INCOMING_BYTES = 64 * 1024 * 1024


class ConnectionGone(Exception):
    """The socket is closed: the frame was not sent completely."""


class OpenFailed(Exception):
    """No session could be opened; ``verdict`` says what to do."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Welcome:
    """The server's answer to ``hello``. Times are RFC 3339; ``raw`` is the whole frame.

    ``max_send_bytes``: the largest frame that the client may send.
    """

    session_id: str
    person_id: int
    device_id: str | None
    head_id: int
    epoch: str
    max_send_bytes: int
    raw: Mapping[str, Any]

    @classmethod
    def from_wire(cls, frame: Frame) -> Welcome:
        """Read the frame.

        Raises UnreadableAnswer if a field is missing or has another type.
        """
        try:
            return cls(
                session_id=str(frame["session_id"]),
                person_id=int(frame["person_id"]),
                device_id=frame.get("device_id"),
                head_id=int(frame["head_id"]),
                epoch=str(frame["epoch"]),
                # A server older than `max_send_bytes` names this limit `max_frame_bytes`.
                max_send_bytes=int(frame.get("max_send_bytes") or frame["max_frame_bytes"]),
                raw=frame,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableAnswer(f"the server's welcome cannot be read ({error!r})") from error


class Connection:
    """A socket that has received its ``welcome``."""

    def __init__(self, socket: ClientConnection, codec: Codec, welcome: Welcome) -> None:
        self._socket = socket
        self._codec = codec
        self.welcome = welcome

    @classmethod
    async def open(cls, address: Address, codec: Codec, token: str, hello: Mapping[str, Any]) -> Connection:
        """Upgrade, send ``hello``, wait for ``welcome``.

        Raises OpenFailed for every reason: refused, closed, timed out, unreachable, not a Buzz server.
        """
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT_SECONDS):
                socket = await _upgrade(address, codec, token)
                try:
                    welcome = await _greet(socket, codec, hello)
                except BaseException:
                    socket.transport.abort()
                    raise
        except InvalidStatus as error:
            response = error.response
            body = (response.body or b"").decode(errors="replace")
            verdict = after_refusal(response.status_code, response.headers.get("Retry-After"), body)
            raise OpenFailed(verdict) from error
        except ConnectionClosed as error:
            raise OpenFailed(_close_verdict(error)) from error
        except UnreadableAnswer as error:
            raise OpenFailed(Verdict(Action.GIVE_UP, str(error), error=NotTheProtocol(str(error)))) from error
        except TimeoutError as error:
            raise OpenFailed(Verdict(Action.RECONNECT, "the server did not answer in time")) from error
        except (OSError, InvalidHandshake) as error:
            raise OpenFailed(Verdict(Action.RECONNECT, why_no_answer(error))) from error
        return cls(socket, codec, welcome)

    async def send(self, data: str | bytes) -> None:
        """Send one encoded frame; waits while the write buffer is full.

        Raises ConnectionGone if the socket is closed.
        """
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise ConnectionGone from error

    async def send_frame(self, frame: Mapping[str, Any]) -> None:
        """Encode a frame and send it; see `send`."""
        await self.send(self._codec.encode(frame))

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield every frame as it arrives, until the socket ends; `verdict` then says why.

        Raises UnreadableAnswer if the server sends something that is no frame.
        """
        try:
            while True:
                yield self._codec.decode(await self._socket.recv())
        except ConnectionClosed:
            return

    @property
    def verdict(self) -> Verdict:
        """Why the socket ended and what to do next. Only valid after `frames` has ended."""
        return _judge(self._socket.close_code, self._socket.close_reason)

    async def close(self, code: Literal[1000, 1001] = 1000) -> None:
        """Close normally; does nothing if the socket is closed already."""
        await self._socket.close(code)


async def _upgrade(address: Address, codec: Codec, token: str) -> ClientConnection:
    return await connect(
        address.socket_url,
        subprotocols=[Subprotocol(codec.subprotocol)],
        additional_headers={"Authorization": f"Bearer {token}"},
        compression=None,
        proxy=None if address.is_loopback else True,
        open_timeout=None,
        close_timeout=_CLOSE_TIMEOUT_SECONDS,
        ping_interval=_PING_INTERVAL_SECONDS,
        ping_timeout=_PING_TIMEOUT_SECONDS,
        max_size=_MAX_INCOMING_BYTES,
    )


async def _greet(socket: ClientConnection, codec: Codec, hello: Mapping[str, Any]) -> Welcome:
    if socket.subprotocol != codec.subprotocol:
        raise UnreadableAnswer(f"the server does not support {codec.subprotocol}; is it a Buzz server?")
    await socket.send(codec.encode({"type": "hello", **hello}))
    while True:
        frame = codec.decode(await socket.recv())
        if frame["type"] == "welcome":
            return Welcome.from_wire(frame)
        # Before the welcome only an error can arrive, and the close after it says what to do.


def _close_verdict(error: ConnectionClosed) -> Verdict:
    return _judge(error.rcvd.code, error.rcvd.reason) if error.rcvd else _judge(None, None)


def _judge(code: int | None, reason: str | None) -> Verdict:
    # 1006: no close frame at all (RFC 6455, 7.1.5).
    return after_close(None if code == 1006 else code, reason or "")
