"""Sends everything, in one task: activities from the outbox, `received` frames, typing, new tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from buzz_client.codec import Codec, Frame, encoded_bytes
from buzz_client.connection import Connection, ConnectionGone
from buzz_client.errors import BuzzError, FrameTooLarge
from buzz_client.outbox import Ack, Outbox, Parcel

# The default limit of a server (socket.md, "Largest frame").
_DEFAULT_MAX_FRAME_BYTES = 128 * 1024
# Unanswered at the same time: enough to fill a group commit, too few for a server's frame rate limit.
_WINDOW = 100
# More callers than this wait for room before their activity is queued.
_MAX_KEPT = 1000


class Sending:
    """Sends over changing connections: `use` and `lost` say which one to use."""

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
        """Whether a call waits for an acknowledgement."""
        return len(self._outbox) > 0

    @property
    def connected(self) -> bool:
        """Whether there is a connection to send on."""
        return self._connection is not None

    async def send(self, activity: Mapping[str, Any]) -> Ack:
        """Send an activity until the server has stored it, over any number of connections.

        If it is cancelled before the activity was written to a connection, it is not sent. If later, it is not sent
        again, and may or may not be stored.

        Raises FrameTooLarge or SendRefused if it can't be stored; BuzzError if the session ended before an answer
        arrived: it may or may not be stored.
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
        """Send a frame that may be lost. A waiting one with the same key is replaced."""
        self._live_only[key] = frame
        self._wake.set()

    def withdraw(self, key: object) -> None:
        """Do not send the frame that waits with this key."""
        self._live_only.pop(key, None)

    def use(self, connection: Connection) -> None:
        """Send everything on this connection from now on."""
        self._connection = connection
        self._max_frame_bytes = connection.welcome.max_send_bytes
        self._wake.set()

    def lost(self, connection: Connection) -> None:
        """Handle a lost connection: what is unanswered on it is sent again."""
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
        """End the session: waiting calls get this error."""
        self._over = error
        self._outbox.end(error)

    async def run(self) -> None:
        """Send what is queued until cancelled."""
        while True:
            self._wake.clear()
            await self.flush()
            await self._until_woken(self._outbox.pause_left(_now()))

    async def flush(self) -> None:
        """Send what may be sent now."""
        if self._connection is not None:
            await self._flush(self._connection)

    async def _flush(self, connection: Connection) -> None:
        try:
            for key, frame in list(self._live_only.items()):
                await connection.send_frame(frame)
                if self._live_only.get(key) is frame:
                    del self._live_only[key]
            for parcel in self._outbox.due(_now(), connection):
                if connection is not self._connection:
                    return
                # This one's caller may have been cancelled while the ones before it were sent.
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
