"""The answer to an upgrade: the opening handshake of RFC 6455, section 4.2."""

from __future__ import annotations

import base64
import binascii
import hashlib

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import MultiMapping

from protocol.codec import CODECS, JSON, Codec
from protocol.errors import ApiError, ErrorCode
from server.http.responses import marks

_KEY_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16
_VERSIONS = ("13", "8", "7")
"""8 and 7 are drafts whose frames are the same."""


class Upgraded(web.StreamResponse):
    """``101 Switching Protocols``, already sent: the connection is the socket's. One for each codec.

    aiohttp's way to send it takes several times as long as all that is in it.
    """

    def __init__(self, codec: Codec) -> None:
        super().__init__(status=101)
        self.codec = codec
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Do nothing: it was sent."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the answer was complete with its head."""


def upgrade(request: web.Request) -> Upgraded:
    """Answer a request to open a websocket. Raises ApiError if it is none, ConnectionResetError if the client has gone.

    No extension is accepted: frames are not compressed.
    """
    head, codec = switching(request.headers, request)
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client has disconnected")
    request.writer.output_size += len(head)  # so that no error is sent after it
    transport.write(head)
    return _UPGRADED[codec.name]


def switching(headers: MultiMapping[str], request: web.Request | None = None) -> tuple[bytes, Codec]:
    """Return the answer to a request with these headers, and the codec of the subprotocol that it names.

    Raises ApiError if it is no request to open a websocket.
    """
    if headers.get(hdrs.UPGRADE, "").lower().strip() != "websocket" or not _asks_to_upgrade(headers):
        raise _refused("this route is a websocket: ask to upgrade to one")
    if headers.get(hdrs.SEC_WEBSOCKET_VERSION) not in _VERSIONS:
        raise _refused("Sec-WebSocket-Version should be 13")
    key = headers.get(hdrs.SEC_WEBSOCKET_KEY, "")
    if not _is_key(key):
        raise _refused("Sec-WebSocket-Key should be 16 bytes in base64")
    subprotocol = _subprotocol(headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, ""))
    accepted = base64.b64encode(hashlib.sha1(key.encode() + _KEY_SALT, usedforsecurity=False).digest()).decode()
    protocol = "" if subprotocol is None else f"{hdrs.SEC_WEBSOCKET_PROTOCOL}: {subprotocol}\r\n"
    head = f"{_HEAD}{hdrs.SEC_WEBSOCKET_ACCEPT}: {accepted}\r\n{protocol}{marks(request)}\r\n".encode()
    return head, CODECS[JSON.name if subprotocol is None else subprotocol]


_HEAD = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
_UPGRADED = {name: Upgraded(codec) for name, codec in CODECS.items()}


def _asks_to_upgrade(headers: MultiMapping[str]) -> bool:
    values = ",".join(headers.getall(hdrs.CONNECTION, ())).lower().split(",")
    return "upgrade" in (value.strip() for value in values)


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _subprotocol(offered: str) -> str | None:
    """Return the first subprotocol of the client's list that we have."""
    if offered in CODECS:
        return offered
    names = (name.strip() for name in offered.split(","))
    return next((name for name in names if name in CODECS), None)


def _refused(advice: str) -> ApiError:
    return ApiError(ErrorCode.BAD_REQUEST, f"Bad Request: {advice}.")
