"""Everything that goes out, by one task: activities from the outbox, `received` marks, typing, new tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from buzz_client.codec import Codec, Frame, encoded_bytes
from buzz_client.connection import Connection, ConnectionGone
from buzz_client.errors import BuzzError, FrameTooLarge
from buzz_client.outbox import Ack, Outbox, Parcel

# What a server without other word takes (socket.md, "Largest frame").
_DEFAULT_MAX_FRAME_BYTES = 128 * 1024
# Unanswered at once: enough to fill a group commit, too few to run into a server's frame rate limit.
_WINDOW = 100
# More callers than this wait for room before their activity is even kept.
_MAX_KEPT = 1000


class Sending:
    """The way out. Survives connections: `use` and `lost` say which one there is."""

    def __init__(self, codec: Codec, answer_wanted: Callable[[], None]) -> None:
        self._codec = codec
        self._answer_wanted = answer_wanted
        self._refs = count(1)
        self._outbox = Outbox(_WINDOW)
        self._room = asyncio.Semaphore(_MAX_KEPT)
        self._live_only: dict[object, Frame] = {}
        self._connection: Connection | None = None
        self._wake = asyncio.Event()
        self._over: BuzzError | None = None
        self._max_frame_bytes = _DEFAULT_MAX_FRAME_BYTES

    @property
    def answer_awaited(self) -> bool:
        """Whether somebody waits for an acknowledgement."""
        return len(self._outbox) > 0

    @property
    def connected(self) -> bool:
        """Whether there is a connection to send by."""
        return self._connection is not None

    async def send(self, activity: Mapping[str, Any]) -> Ack:
        """Keep an activity until the server has stored it, by whatever connections it takes.

        Cancelled before the activity was handed to a connection, it is not sent. Cancelled later, it is not sent again,
        and may or may not be stored.

        Raises:
            FrameTooLarge, SendRefused: it cannot be stored as it is.
            BuzzError: the session ended before an answer came; it may or may not be stored.
        """
        async with self._room:
            parcel = self._parcel(activity)
            self._outbox.put(parcel)
            self._wake.set()
            self._answer_wanted()
            try:
                return await parcel.answer
            finally:
                self._outbox.drop(parcel)

    def post(self, key: object, frame: Frame) -> None:
        """Send a frame that may be lost. One that still waits under the same key is replaced."""
        self._live_only[key] = frame
        self._wake.set()

    def use(self, connection: Connection) -> None:
        """From now on everything goes out by this connection."""
        self._connection = connection
        self._max_frame_bytes = connection.welcome.max_frame_bytes
        self._wake.set()

    def lost(self, connection: Connection) -> None:
        """This one is gone: what it left unanswered goes out again."""
        self._outbox.lost(connection)
        if self._connection is connection:
            self._connection = None
        self._wake.set()

    def answered(self, frame: Frame) -> bool:
        """Take an `ack` or `error` frame. Returns whether it was for one of these activities."""
        self._wake.set()
        if frame["type"] == "ack":
            return self._outbox.acked(frame)
        return self._outbox.refused(frame, _now())

    def end(self, error: BuzzError) -> None:
        """The session is over: whoever waits gets this error."""
        self._over = error
        self._outbox.end(error)

    async def run(self) -> None:
        """Put things on the wire as they come, for ever."""
        while True:
            self._wake.clear()
            await self.flush()
            await self._until_woken(self._outbox.pause_left(_now()))

    async def flush(self) -> None:
        """Put on the wire what may go out now."""
        if self._connection is not None:
            await self._flush(self._connection)

    async def _flush(self, connection: Connection) -> None:
        try:
            for key, frame in list(self._live_only.items()):
                await connection.send_frame(frame)
                if self._live_only.get(key) is frame:
                    del self._live_only[key]
            for parcel in self._outbox.due(_now()):
                if connection is not self._connection:
                    return
                # While the ones before it went out this one's caller may have been cancelled.
                if self._outbox.sent(parcel, connection):
                    await connection.send(parcel.data)
        except ConnectionGone:
            self.lost(connection)

    async def _until_woken(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def _parcel(self, activity: Mapping[str, Any]) -> Parcel:
        if self._over is not None:
            raise self._over
        ref = next(self._refs)
        data = self._codec.encode({"type": "send", "ref": ref, "activity": activity})
        if (size := encoded_bytes(data)) > self._max_frame_bytes:
            raise FrameTooLarge(f"the activity takes {size} bytes; the server's limit is {self._max_frame_bytes}")
        return Parcel(ref, data, activity.get("message_id"), asyncio.get_running_loop().create_future())


def _now() -> float:
    return asyncio.get_running_loop().time()
