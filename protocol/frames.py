"""The socket's frames, both ways: models that check what clients send, and builders of what the server sends."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter

from protocol.activity import Id, PartyTypeName, SocketActivity
from protocol.validation import MAX_ID, Strict

Ref = Annotated[str, StringConstraints(max_length=64)] | Annotated[int, Field(ge=-MAX_ID - 1, le=2**64 - 1)]
MAX_TOKEN_CHARACTERS = 8_192
MAX_ACTIVITIES_PER_FRAME = 500
Token = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOKEN_CHARACTERS)]


class Hello(Strict):
    """The first frame. Unknown fields are ignored: an older server must not refuse a newer app."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["hello"]
    ref: Ref | None = None
    token: Token | None = None
    device_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    last_activity_id: Annotated[int, Field(ge=0, le=MAX_ID)] | None = None
    epoch: Annotated[str, StringConstraints(max_length=64)] | None = None
    resume_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    client: Any = None


class Send(Strict):
    """Post an activity; answered with ``ack`` or ``error`` under the same ref."""

    type: Literal["send"]
    ref: Ref
    activity: SocketActivity


class Received(Strict):
    """This device has safely kept everything up to ``id``."""

    type: Literal["received"]
    ref: Ref | None = None
    id: Annotated[int, Field(ge=0, le=MAX_ID)]


class Addressee(Strict):
    """Whom a typing notice is for."""

    type: PartyTypeName
    id: Id


class Typing(Strict):
    """Passed on live, never stored."""

    type: Literal["typing"]
    ref: Ref | None = None
    to: Addressee


class Refresh(Strict):
    """A new token for the same person; the session goes on."""

    type: Literal["refresh"]
    ref: Ref | None = None
    token: Token


class Ping(Strict):
    """Answered with ``pong``."""

    type: Literal["ping"]
    ref: Ref | None = None


ClientFrame = Annotated[Hello | Send | Received | Typing | Refresh | Ping, Field(discriminator="type")]
CLIENT_FRAME: TypeAdapter[Hello | Send | Received | Typing | Refresh | Ping] = TypeAdapter(ClientFrame)


class Welcome(Strict):
    """The answer to ``hello``."""

    type: Literal["welcome"] = "welcome"
    ref: Ref | None = None
    session_id: str
    person_id: int
    device_id: str | None
    head_id: int
    epoch: str
    heartbeat_seconds: float
    max_frame_bytes: int
    server_time: str
    token_expires_at: str


class Refreshed(Strict):
    """The answer to ``refresh``: the session goes on with the new token."""

    type: Literal["refreshed"] = "refreshed"
    ref: Ref | None = None
    token_expires_at: str


class Activities(Strict):
    """Catch-up and live alike: 1 to 500 activities, oldest first, each as in ``GET activity/<id>``."""

    type: Literal["activities"] = "activities"
    activities: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ACTIVITIES_PER_FRAME)]


class CaughtUp(Strict):
    """The backlog asked for in ``hello`` has been delivered; ``id`` is how far."""

    type: Literal["caught_up"] = "caught_up"
    id: int


class Ack(Strict):
    """The activity is durable."""

    type: Literal["ack"] = "ack"
    ref: Ref
    id: int
    created_at: str
    duplicate: bool


class Error(Strict):
    """The frame was refused; the session goes on. ``retry_after`` is in seconds."""

    type: Literal["error"] = "error"
    ref: Ref | None = None
    code: str
    message: str
    retry_after: float | None = None


class Event(Strict):
    """Live only, never part of the log."""

    type: Literal["event"] = "event"
    name: str
    data: dict[str, Any]


class Reconnect(Strict):
    """This node is about to go away: open a new socket after ``after_ms``, with ``resume_id`` in its hello."""

    type: Literal["reconnect"] = "reconnect"
    after_ms: int
    resume_id: str
    reason: str


class Pong(Strict):
    """The answer to ``ping``."""

    type: Literal["pong"] = "pong"
    ref: Ref | None = None


SERVER_FRAMES = (Welcome, Refreshed, Activities, CaughtUp, Ack, Error, Event, Reconnect, Pong)
"""For the description of the protocol and its tests; the server builds these frames as plain maps or bytes."""
