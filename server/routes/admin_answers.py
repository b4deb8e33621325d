"""The answers about sessions, revocations and the log level."""

from __future__ import annotations

import msgspec

from protocol.activity import rfc3339
from protocol.times import Time
from server.cluster.nodes import ListedNode
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


class NodeAnswer(msgspec.Struct, frozen=True):
    """One node of the cluster."""

    host: str
    """The name of its machine."""
    process_id: int
    """Its id on its machine."""
    this_node: bool
    """Whether it is the node that answered."""
    silent_seconds: int
    """For how long it has said nothing although it should have; 0 if it is heard."""
    draining: bool
    """Whether it takes no new sessions because it will stop."""
    version: str
    """Buzz's version."""
    started_at: Time
    """When it was started."""
    sessions: int
    """How many live sessions it has."""
    behind: int
    """How many of them have not got everything yet."""
    head_id: int
    """The newest activity that it has read."""


class NodeList(msgspec.Struct, frozen=True):
    """The nodes of the cluster, by host."""

    nodes: list[NodeAnswer]
    """This node, those that it hears, and those that have been silent for less than 10 minutes."""


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


def node_answer(node: ListedNode) -> NodeAnswer:
    """Return a node as it is shown."""
    state = node.state
    return NodeAnswer(
        host=state.host,
        process_id=state.process_id,
        this_node=node.here,
        silent_seconds=int(node.heard_seconds) if node.silent else 0,
        draining=state.draining,
        version=state.version,
        started_at=rfc3339(state.started_at_ms),
        sessions=state.sessions,
        behind=state.behind,
        head_id=state.head,
    )


def revoked_answer(made: Revocation) -> RevokedAnswer:
    """Return a revocation as it is shown."""
    return RevokedAnswer(made.token_id, made.person_id, rfc3339(made.revoked_at_ms))
