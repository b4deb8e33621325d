"""The newest few thousand activities, each encoded at most once per subprotocol."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from protocol.activity import Activity
from protocol.codec import Codec, EncodedName
from storage.contract import ROW_BYTES

MAX_RING_BYTES = 64 * 1024 * 1024
STEP_BYTES = 128 * 1024
_ENVELOPE_BYTES = 64
"""At least what a frame has around its activities, in either codec: its websocket header, and the map."""


class Entry:
    """One activity on the live path: the row, its parties' names, and its bytes after they were first needed."""

    __slots__ = ("activity", "binary", "id", "parties", "receiver", "sender", "size", "text")

    def __init__(self, activity: Activity, sender: EncodedName, receiver: EncodedName) -> None:
        self.activity = activity
        self.id = activity.id
        self.sender = sender
        self.receiver = receiver
        self.parties = (
            (activity.sender, activity.receiver) if activity.sender != activity.receiver else (activity.sender,)
        )
        self.size = len(activity.message or "") * 16 + 500
        """How many bytes it keeps in memory at most: a character takes up to four as text, four more as the UTF-8 that
        Python keeps beside the text once it is encoded, and up to eight in both codecs (a control character six in JSON
        and one in msgpack, an emoji four in each)."""
        self.text: bytes | None = None
        self.binary: bytes | None = None

    def encoded(self, codec: Codec) -> bytes:
        """Return the activity in this subprotocol; it is encoded once and shared by all sessions."""
        found = self.binary if codec.binary else self.text
        if found is None:
            found = codec.activity(self.activity, self.sender, self.receiver)
            if codec.binary:
                self.binary = found
            else:
                self.text = found
        return found


def first_of(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return as many as are encoded in one step: about 2 ms of work if they consist of control characters."""
    size = 0
    for count, entry in enumerate(entries, 1):
        size += len(entry.activity.message or "") + ROW_BYTES
        if size >= STEP_BYTES:
            return entries[:count]
    return entries


def frames(codec: Codec, entries: Iterable[Entry], limit_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Return the entries as websocket frames of at most 500 activities and ``limit_bytes``; (last id, bytes) each.

    The limit counts the whole frame with its header. Only an activity that is larger alone exceeds it, in a frame of
    its own: JSON can escape a character to six bytes.
    """
    batch: list[bytes] = []
    last, size = 0, _ENVELOPE_BYTES
    for entry in entries:
        encoded = entry.encoded(codec)
        if batch and (size + len(encoded) > limit_bytes or len(batch) == 500):
            yield last, codec.websocket(codec.activities(batch))
            batch, size = [], _ENVELOPE_BYTES
        batch.append(encoded)
        size += len(encoded) + 1
        last = entry.id
    if batch:
        yield last, codec.websocket(codec.activities(batch))


class Ring:
    """Everything that was committed in (start, end], in id order; the oldest entries are dropped when it is full."""

    def __init__(self, head: int, size: int) -> None:
        self.start = head
        self.end = head
        self._size = size
        self._bytes = 0
        self._entries: deque[Entry] = deque()

    def append(self, previous_head: int, head: int, entries: Sequence[Entry]) -> None:
        """Add a commit that covers (previous_head, head]. If there is a gap before it, the ring is emptied first."""
        if previous_head != self.end:
            self.restart(previous_head)
        kept = self._entries
        kept.extend(entries)
        size = self._bytes + sum([entry.size for entry in entries])
        self.end = head
        oldest = None
        while len(kept) > self._size or size > MAX_RING_BYTES:
            oldest = kept.popleft()
            size -= oldest.size
        self._bytes = size
        if oldest is not None:
            self.start = oldest.id

    def restart(self, head: int) -> None:
        """Drop everything; the ring continues from ``head``."""
        self._entries.clear()
        self._bytes = 0
        self.start = self.end = head

    def amend(self, activity: Activity) -> None:
        """Replace an activity by its corrected version: a call that was recorded as missed, and was not."""
        for entry in reversed(self._entries):
            if entry.id == activity.id:
                entry.activity, entry.text, entry.binary = activity, None, None

    def since(self, cursor: int) -> list[Entry]:
        """Return the entries newer than ``cursor``, oldest first. Only valid if ``cursor >= start``."""
        newer: list[Entry] = []
        for entry in reversed(self._entries):
            if entry.id <= cursor:
                break
            newer.append(entry)
        newer.reverse()
        return newer
