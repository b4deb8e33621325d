"""One socket from upgrade to end.

Its task only reads. The hub, the catch-up readers and the answers to frames write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import Any, cast

import structlog
from aiohttp import WSMsgType, web

from protocol.codec import CODECS, JSON, BadFrame, Codec, Undecodable
from protocol.errors import ApiError, CloseCode, ErrorCode
from protocol.frames import Hello, Ref, Send
from server.http.client_address import client_address
from server.live.session import CLOSE_SECONDS, Session
from server.live.wire import PROTOCOL_ERROR, Wire
from server.socket.acceptor import Acceptor, Refused
from server.socket.frame_handler import FrameHandler, error_frame
from storage.errors import StorageUnavailable

BAD_FRAMES_A_MINUTE = 20
_logger = structlog.get_logger("socket")


class Connection:
    """One socket from upgrade to end."""

    __slots__ = (
        "_acceptor",
        "_bad_frames",
        "_closed_by_client",
        "_codec",
        "_frame_handler",
        "_request",
        "_websocket",
        "session",
        "wire",
    )

    def __init__(
        self,
        acceptor: Acceptor,
        frame_handler: FrameHandler,
        request: web.Request,
        websocket: web.WebSocketResponse[bool],
    ) -> None:
        self._acceptor = acceptor
        self._frame_handler = frame_handler
        self._request = request
        self._websocket = websocket
        self._codec: Codec = CODECS.get(websocket.ws_protocol or "", JSON)
        self.wire = Wire(request, self, acceptor.settings.max_frame_bytes, acceptor.settings.frame_rate_limit)
        self.session: Session | None = None
        self._bad_frames: deque[float] | None = None
        self._closed_by_client: int | None = None

    async def serve(self) -> None:
        """Read frames until the socket ends, and close it with the right code if we end it."""
        address = client_address(self._request, self._acceptor.settings.trusted_hops)
        try:
            self._acceptor.check_origin(self._request)
            with self._acceptor.handshake(address, self.wire):
                self.session = await self._hello()
            if self.session is not None:
                await self._read(self.session)
        except Undecodable as error:
            self._close(CloseCode.NOT_THE_PROTOCOL, str(error))
        except Refused as refused:
            self._close(refused.code, refused.reason)
        except (ApiError, StorageUnavailable) as error:
            self._close(CloseCode.OVER_CAPACITY, f"retry_after={getattr(error, 'retry_after_seconds', None) or 1:g}")
        except Exception:  # logged; the client gets an internal error
            _logger.exception("session failed", session=self.session.id if self.session else None)
            self._close(CloseCode.SERVER_FAULT, "server fault")
        await self._read_until_close()

    def resumed(self) -> None:
        """Resume the session, because the wire's buffer has drained."""
        if self.session is not None:
            self._acceptor.hub.resume(self.session)

    def refused(self, code: CloseCode, reason: str) -> None:
        """Handle that the wire accepts no more frames."""
        self._close(code, reason)

    def _close(self, code: CloseCode, reason: str) -> None:
        if self.session is not None:
            self.session.close(code, reason)
        else:
            self.wire.close(code, reason)

    @property
    def close_code(self) -> int:
        """Return the code of the side that closed first; 1005 if it gave none, 1006 if the connection was lost.

        RFC 6455, section 7.1.5.
        """
        return self._closed_by_client or self.wire.close_code or self._websocket.close_code or 1006

    def release_error(self) -> None:
        """Break the cycle that a broken connection leaves, after its end.

        aiohttp keeps the exception of a broken connection. Its traceback refers to frames that refer to the socket: a
        cycle for each session, which only the garbage collector frees. After many sessions that takes a second.
        """
        fault = self._websocket.exception()
        while fault is not None:
            fault.__traceback__, before = None, fault.__context__
            fault.__context__, fault = None, before

    # --- reading ------------------------------------------------------------------------------------------------

    async def _hello(self) -> Session | None:
        while (data := self._payload(await self._websocket.receive())) is not None:
            if data is _CONTROL:
                continue
            try:
                frame = self._codec.decode(data)
                if isinstance(frame, Hello):
                    return await self._acceptor.open(self._request, frame, self._codec, self.wire)
                raise BadFrame("The first frame should be 'hello'.", frame.ref)
            except BadFrame as error:
                self._refuse(error)
        return None

    async def _read(self, session: Session) -> None:
        frame_handler = self._frame_handler
        # This loop waits in ws.receive() itself, not in a coroutine around it: an idle session is a chain of suspended
        # Python frames, and each costs half a kilobyte.
        while (data := self._payload(await self._websocket.receive())) is not None:
            if data is _CONTROL:
                continue
            ref: Ref | None = None
            try:
                frame = self._codec.decode(data)
                ref = frame.ref
                if type(frame) is not Send or not frame_handler.send_known(session, frame):
                    await frame_handler.answer(session, frame)
            except ApiError as error:
                self._refuse(error)
            except StorageUnavailable:
                # The session continues without storage: its client tries again, and missed activities are read from the
                # log.
                self._refuse(ApiError(ErrorCode.UNAVAILABLE, retry_after_seconds=1).about(ref))
            if self.wire.paused:
                await self.wire.drained()

    def _payload(self, message: Any) -> bytes | None:
        """Return a frame's bytes; None when the socket has ended. Raises Refused for the wrong kind of frame."""
        kind = message.type
        if kind in _ENDS:
            if kind is WSMsgType.CLOSE and not self.wire.closing:
                if message.data == CloseCode.TOO_LARGE and self.session is not None:
                    self._acceptor.refused_frames.refused(self.session)
                if message.data == _NEVER_SENT:  # aiohttp accepts it
                    self.wire.close(PROTOCOL_ERROR, "not a close code")
                else:
                    self._closed_by_client = message.data or _NO_CODE
                    self._close(_answer_to(message.data), "")
            return None
        if self.wire.closing:
            return None
        if kind in _CONTROLS:
            if kind is WSMsgType.PING:
                self.wire.pong(message.data)
            return _CONTROL
        if (kind is WSMsgType.BINARY) is not self._codec.binary:
            wanted = _KINDS[self._codec.binary]
            raise Refused(CloseCode.NOT_THE_PROTOCOL, f"{self._codec.name} takes {wanted} frames")
        self._acceptor.stats.frames_in += 1
        return cast(bytes, message.data)

    def _refuse(self, error: ApiError) -> None:
        if error.code is ErrorCode.BAD_FRAME and self._too_many_bad(monotonic()):
            raise Refused(CloseCode.NOT_THE_PROTOCOL, f"{BAD_FRAMES_A_MINUTE} bad frames in a minute")
        self.wire.write([self._codec.frame(error_frame(error))])

    def _too_many_bad(self, now: float) -> bool:
        if self._bad_frames is None:  # most sockets never send one
            self._bad_frames = deque(maxlen=BAD_FRAMES_A_MINUTE)
        self._bad_frames.append(now)
        return len(self._bad_frames) == BAD_FRAMES_A_MINUTE and now - self._bad_frames[0] < 60

    async def _read_until_close(self) -> None:
        """Read until the peer answers our close frame. The session's or handshake's timer limits the wait."""
        if self.wire.closing and not self._websocket.closed and not self.wire.lost:
            timer = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self.wire.abort)
            try:
                while (await self._websocket.receive()).type not in _ENDS:
                    pass
            finally:
                timer.cancel()


_NO_CODE = 1005
_NEVER_SENT = 1006
"""Says of a connection that it broke; never in a close frame (RFC 6455, section 7.4.1)."""
_CONTROL = b"a control frame"
"""Stands for one that was dealt with; compared by identity."""
_CONTROLS = (WSMsgType.PING, WSMsgType.PONG)
_ENDS = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
_KINDS: Mapping[bool, str] = {True: "binary", False: "text"}


def _answer_to(code: object) -> CloseCode:
    return CloseCode.GOING_AWAY if code == CloseCode.GOING_AWAY else CloseCode.NORMAL
