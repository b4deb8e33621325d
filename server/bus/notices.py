"""The notices between nodes. A lost, late, repeated or reordered one costs latency, never data: the rows are the truth.

A message is a magic prefix, the sending node's id, and msgpack: the log's epoch and a list of notices. The id comes
first so that a node skips its own messages without decoding them; the epoch distinguishes two clusters that use the
same namespace by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from protocol.activity import Activity

MARK = b"buzz1"
NODE_ID_BYTES = 8
MAX_MESSAGE_BYTES = 1024 * 1024
"""A larger message is not read: no node sends one."""
MAX_COMMITTED_BYTES = 256 * 1024
"""A commit with more text than this is told of in several notices."""


class BadMessage(Exception):
    """The bytes are no message of a node."""


class Committed(msgspec.Struct, frozen=True, array_like=True, tag="committed", gc=False):
    """All activities whose ids are in (previous_head, head]."""

    previous_head: int
    head: int
    activities: list[Activity]


class Reached(msgspec.Struct, frozen=True, array_like=True, tag="reached", gc=False):
    """The log has reached this id: a node that is behind polls the log."""

    head: int


class Happened(msgspec.Struct, frozen=True, array_like=True, tag="happened", gc=False):
    """A live event for the sessions of these parties, but not for those of the person ``but``."""

    parties: list[int]
    name: str
    data: dict[str, Any]
    but: int | None = None  # nodes of a release before this field do not send it, and ignore it


class Revoked(msgspec.Struct, frozen=True, array_like=True, tag="revoked", gc=False):
    """A credential was revoked: poll the revocations now."""


class Forgotten(msgspec.Struct, frozen=True, array_like=True, tag="forgotten", gc=False):
    """Stored activities were changed (erased, corrected): clear the cache, and poll the log."""


class DirectoryChanged(msgspec.Struct, frozen=True, array_like=True, tag="directory", gc=False):
    """Names and memberships that are stale; None stands for all (``server.live.parties.DirectoryChange``)."""

    names: tuple[int, ...] | None
    members: tuple[int, ...] | None


class RemoteSession(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A session as the other nodes know it. ``order`` is higher for a session that was opened later, on any node."""

    session_id: str
    order: int
    device_id: str | None


class Present(msgspec.Struct, frozen=True, array_like=True, tag="present", gc=False):
    """A person's sessions on the sending node. ``asks``: nodes with other sessions of that person must answer.

    ``resumed``: the id of the session that the newest one continues.
    """

    person: int
    sessions: list[RemoteSession]
    asks: bool
    resumed: str | None = None


class Gone(msgspec.Struct, frozen=True, array_like=True, tag="gone", gc=False):
    """A person's session on the sending node has ended."""

    person: int
    session_id: str


class Spent(msgspec.Struct, frozen=True, array_like=True, tag="spent", gc=False):
    """A person has sent this many activities through the sending node since its last such notice."""

    person: int
    sends: int


class NodeState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a node says of itself. A newer release may add fields at the end: nodes without them ignore these."""

    host: str
    process_id: int
    version: str
    started_at_ms: int
    sessions: int
    behind: int
    head: int
    draining: bool


class Beat(msgspec.Struct, frozen=True, array_like=True, tag="beat", gc=False):
    """The sending node is alive. The sender receives it too, which shows that the bus works."""

    state: NodeState | None = None  # nodes of a release before this field do not send it, and ignore it


class Leaving(msgspec.Struct, frozen=True, array_like=True, tag="leaving", gc=False):
    """The sending node has stopped: it has no sessions any more."""


Notice = (
    Committed | Reached | Happened | Revoked | Forgotten | DirectoryChanged | Present | Gone | Spent | Beat | Leaving
)


class Message(NamedTuple):
    """One message of another node."""

    node: bytes
    epoch: str
    notices: list[Notice]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[str, list[Notice]])


def encode(node: bytes, epoch: str, notices: Sequence[Notice]) -> bytes:
    """Encode a message."""
    return MARK + node + _encoder.encode((epoch, notices))


def is_from(data: bytes, node: bytes) -> bool:
    """Return whether the message was sent by this node."""
    return data.startswith(MARK + node)


def decode(data: bytes) -> Message:
    """Decode a message. Raises BadMessage."""
    start = len(MARK) + NODE_ID_BYTES
    if len(data) > MAX_MESSAGE_BYTES:
        raise BadMessage(f"{len(data)} bytes are more than {MAX_MESSAGE_BYTES}")
    if not data.startswith(MARK) or len(data) < start:
        raise BadMessage("it does not begin as a node's message does")
    try:
        epoch, notices = _decoder.decode(data[start:])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadMessage(str(error)) from None
    for notice in notices:
        if isinstance(notice, Committed):
            _check(notice)
    return Message(data[len(MARK) : start], epoch, notices)


def _check(notice: Committed) -> None:
    before = notice.previous_head
    for activity in notice.activities:
        if not before < activity.id <= notice.head:
            raise BadMessage("a commit's ids are out of order")
        before = activity.id
    if notice.previous_head < 0 or notice.head < notice.previous_head:
        raise BadMessage("a commit ends before it begins")


def committed(previous_head: int, head: int, activities: Sequence[Activity]) -> Iterator[Committed]:
    """Return the notices of one commit: usually one, several if it would be too large."""
    part: list[Activity] = []
    size = 0
    for activity in activities:
        length = len(activity.message or "") * 4 + 100
        if part and size + length > MAX_COMMITTED_BYTES:
            yield Committed(previous_head, part[-1].id, part)
            previous_head, part, size = part[-1].id, [], 0
        part.append(activity)
        size += length
    yield Committed(previous_head, head, part)


def size(notice: Notice) -> int:
    """Return about how many bytes a notice takes, to limit what waits to be sent."""
    if isinstance(notice, Committed):
        return 50 + sum(len(activity.message or "") + 100 for activity in notice.activities)
    return 500
