"""The answers about sessions, revocations and the log level."""

from __future__ import annotations

import msgspec

from protocol.activity import rfc3339
from protocol.times import Time
from server.config.settings import LogLevel
from server.live.session import Session
from storage.accounts import Revocation


class SessionAnswer(msgspec.Struct, frozen=True):
    """One live session."""

    id: str
    """The session's id."""
    person_id: int | None
    device_id: str | None
    """The device; null if the client named none."""
    opened_at: Time
    """When it was opened."""
    subprotocol: str
    """How its frames are encoded: `buzz.v1.msgpack` or `buzz.v1.json`."""
    live: bool
    """Whether it has everything that is stored."""
    behind_by: int
    """How many ids it is behind the newest activity; 0 if it is live."""
    received_id: int
    """Up to which id its device has confirmed that it has stored everything."""
    token_expires_at: Time
    """When its token expires."""


class SessionList(msgspec.Struct, frozen=True):
    """The live sessions of this node."""

    count: int
    """How many there are in all."""
    sessions: list[SessionAnswer]
    """The first of them."""


class RevokedAnswer(msgspec.Struct, frozen=True):
    """What was revoked: one token, or all tokens that a person has until now."""

    token_id: str | None
    """The token's id; null if all of a person were revoked."""
    person_id: int | None
    """The person; null if one token was revoked."""
    revoked_at: Time
    """When it was revoked."""


class LevelAnswer(msgspec.Struct, frozen=True):
    """The log level."""

    level: LogLevel
    """The lowest level that is logged."""


def session_answer(session: Session, head: int, received_id: int) -> SessionAnswer:
    """Return a session as it is shown."""
    return SessionAnswer(
        id=session.id,
        person_id=session.caller.person_id,
        device_id=session.device_id,
        opened_at=rfc3339(session.opened_at_ms),
        subprotocol=session.codec.name,
        live=session.live,
        behind_by=0 if session.live else head - session.cursor,
        received_id=received_id,
        token_expires_at=rfc3339(session.caller.expires_at_ms),
    )


def revoked_answer(made: Revocation) -> RevokedAnswer:
    """Return a revocation as it is shown."""
    return RevokedAnswer(made.token_id, made.person_id, rfc3339(made.revoked_at_ms))
