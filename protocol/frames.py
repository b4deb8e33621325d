"""The socket's frames in both directions: a client's is checked while it is decoded."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from protocol.activity import PartyTypeName, SocketActivity
from protocol.validation import MAX_ID, without_controls

MAX_ACTIVITIES_PER_FRAME = 500
MAX_TOKEN_CHARACTERS = 8_192
DEFAULT_BATCH_BYTES = 32 * 1024
"""The largest frame with several activities that the server sends, unless ``hello`` asks for another limit. Many client
libraries read no more than 32 or 64 KiB unless they are told to."""
MIN_BATCH_BYTES, MAX_BATCH_BYTES = 4_096, 128 * 1024
"""What ``hello`` may ask for."""

_RefText = Annotated[str, msgspec.Meta(max_length=64)]
_RefNumber = Annotated[int, msgspec.Meta(ge=-(2**63), le=MAX_ID)]
Ref = _RefText | _RefNumber
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Id = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
_BatchBytes = Annotated[int, msgspec.Meta(ge=MIN_BATCH_BYTES, le=MAX_BATCH_BYTES)]
_Token = Annotated[str, msgspec.Meta(max_length=MAX_TOKEN_CHARACTERS)]  # an empty token is a bad token, not a bad frame


class _FromClient(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, forbid_unknown_fields=True):
    """A client's frame; its ``type`` is the class's name.

    Unknown fields are refused, so that a typing error is noticed.
    """


class Hello(_FromClient, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The first frame. Unknown fields are ignored: an older server must not refuse a newer app.

    ``max_frame_bytes``: the largest frame with several activities that the client can read.
    """

    ref: Ref | None = None
    token: _Token | None = None
    device_id: _Name | None = None
    last_activity_id: _Id | None = None
    epoch: _RefText | None = None
    resume_id: _RefText | None = None
    client: Any = None
    max_frame_bytes: _BatchBytes | None = None

    def __post_init__(self) -> None:
        if self.device_id is not None:
            _check_plain("device_id", self.device_id)
        if self.client is not None:
            _check_plain("client", self.client)


def _check_plain(name: str, value: Any) -> None:
    """Raise ValueError if a text in ``value`` has control characters; msgspec turns it into its own error."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            try:
                without_controls(each)
            except ValueError as error:
                raise ValueError(f"Invalid parameter: '{name}': {error}") from None
        elif isinstance(each, dict):
            waiting += [*each, *each.values()]
        elif isinstance(each, list | tuple):
            waiting += each


class Send(_FromClient, frozen=True, gc=False):
    """Post an activity; answered with ``ack`` or ``error`` under the same ref."""

    ref: Ref
    activity: SocketActivity


class Received(_FromClient, frozen=True):
    """This device has stored everything up to ``id``."""

    id: _Id
    ref: Ref | None = None


class Addressee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The person or company that a typing notice is for."""

    type: PartyTypeName
    id: Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]


class Typing(_FromClient, frozen=True):
    """The person is typing: sent to connected sessions, never stored."""

    to: Addressee
    ref: Ref | None = None


class Refresh(_FromClient, frozen=True):
    """A new token for the same person; the session continues. Answered with ``refreshed``."""

    token: _Token
    ref: Ref | None = None


class Ping(_FromClient, frozen=True):
    """Answered with ``pong``."""

    ref: Ref | None = None


ClientFrame = Hello | Send | Received | Typing | Refresh | Ping
CLIENT_FRAMES = (Hello, Send, Received, Typing, Refresh, Ping)


class ServerFrame(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """A frame from the server. A field with its default value (None) is left out."""


class Welcome(ServerFrame, frozen=True, tag="welcome"):
    """The answer to ``hello``. Times are RFC 3339.

    ``max_send_bytes``: the largest frame that a client may send. ``max_frame_bytes``: what ``hello`` asked for; if it
    asked for nothing, the same as ``max_send_bytes``, because older clients take it as the limit of their own frames.
    """

    session_id: str
    person_id: int
    device_id: str | None
    head_id: int
    epoch: str
    heartbeat_seconds: int | float
    max_frame_bytes: int
    max_send_bytes: int
    server_time: str
    token_expires_at: str
    ref: Ref | None = None


class Refreshed(ServerFrame, frozen=True, tag="refreshed"):
    """The answer to ``refresh``: the session continues with the new token."""

    token_expires_at: str
    ref: Ref | None = None


class Activities(ServerFrame, frozen=True, tag="activities"):
    """Activities to catch up, and live ones: 1 to 500, oldest first, each as in ``GET activity/<id>``.

    The server builds it from encoded activities (``Codec.activities``); this class only describes it.
    """

    activities: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=MAX_ACTIVITIES_PER_FRAME)]


class CaughtUp(ServerFrame, frozen=True, tag="caught_up"):
    """All activities that ``hello`` asked for have been delivered, up to ``id``."""

    id: int


class Ack(ServerFrame, frozen=True, tag="ack", gc=False):
    """The activity is stored durably. ``duplicate``: it was sent before, and this repeats the first answer."""

    ref: Ref
    id: int
    created_at: str
    duplicate: bool


class Error(ServerFrame, frozen=True, tag="error"):
    """The frame was refused; the session continues. ``retry_after`` is in seconds."""

    code: str
    message: str
    ref: Ref | None = None
    retry_after: float | None = None


class Event(ServerFrame, frozen=True, tag="event"):
    """A live event; it is not part of the log."""

    name: str
    data: dict[str, Any]


class Reconnect(ServerFrame, frozen=True, tag="reconnect"):
    """This node is shutting down: open a new socket after ``after_ms``, with ``resume_id`` in its hello."""

    after_ms: int
    resume_id: str
    reason: str


class Pong(ServerFrame, frozen=True, tag="pong"):
    """The answer to ``ping``."""

    ref: Ref | None = None


SERVER_FRAMES = (Welcome, Refreshed, Activities, CaughtUp, Ack, Error, Event, Reconnect, Pong)
"""All of them, for the description of the protocol and its tests."""
