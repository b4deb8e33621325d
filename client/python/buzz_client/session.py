"""The supervisor's handler of frames: connects inbox, sending, events and the position in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from buzz_client.activity import Activity
from buzz_client.codec import Frame
from buzz_client.connection import Connection, Welcome
from buzz_client.cursor import Position
from buzz_client.delivery import Delivery
from buzz_client.encrypting import Encryption
from buzz_client.errors import ForeignCursor, UnreadableAnswer
from buzz_client.events import Events
from buzz_client.inbox import Inbox
from buzz_client.sending import Sending

_LOG = logging.getLogger("buzz_client")
_CLIENT_NAME = "buzz-client-python/1.0"

Tap = Callable[[Frame], None]


class Session:
    """One person's device, over any number of connections.

    ``welcome`` is the latest connection's; ``start`` the position from which the first one delivers; ``why_none`` the
    reason of the last failed attempt.
    """

    def __init__(
        self,
        inbox: Inbox,
        delivery: Delivery,
        sending: Sending,
        events: Events,
        *,
        device_id: str | None,
        owner_id: int | None,
        server: str,
        encryption: Encryption | None = None,
        tap: Tap | None,
    ) -> None:
        self._inbox = inbox
        self._delivery = delivery
        self._sending = sending
        self._events = events
        self._device_id = device_id
        self._owner_id = owner_id
        self._server = server
        self._encryption = encryption
        self._tap = tap
        self._source: Connection | None = None
        self.welcome: Welcome | None = None
        self.why_none: str | None = None
        self.welcomed = asyncio.Event()
        self.start: Position | None = None
        self.token_expiring = asyncio.Event()

    def hello(self) -> dict[str, Any]:
        """Return the next ``hello``, which asks for everything after the newest activity that was added."""
        fields = {
            "client": _CLIENT_NAME,
            "device_id": self._device_id,
            "last_activity_id": self._inbox.cursor,
            "epoch": self._inbox.epoch,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def waiting(self, reason: str, seconds: float) -> None:
        """Emit that there is no connection for now; warn once if there was none yet and the app listens to no state."""
        if self.welcome is None and self.why_none is None and not self._events.has("client.state"):
            _LOG.warning("no session with %s yet (%s); the client goes on trying", self._server, reason)
        else:
            _LOG.info("no connection (%s), trying again in %.1f s", reason, seconds)
        self.why_none = reason
        self._events.emit("client.state", {"state": "waiting", "reason": reason, "seconds": seconds})

    def live(self, connection: Connection) -> None:
        """Start to use a connection that has received its ``welcome``.

        Raises ForeignCursor if the cursor belongs to another person.
        """
        welcome = connection.welcome
        self._check_owner(welcome.person_id)
        self._take_place(welcome)
        self.start = self.start or Position(welcome.epoch, self._inbox.cursor or 0, welcome.person_id)
        self._device_id = self._device_id or welcome.device_id
        self._source = connection
        self.welcome = welcome
        self._sending.use(connection)
        if self._encryption is not None and self._device_id is not None:
            self._encryption.live(welcome.person_id, self._device_id, welcome.head_id)
        self.welcomed.set()
        if self._tap:
            self._tap(dict(welcome.raw))
        self._events.emit("client.state", {"state": "live", "session_id": welcome.session_id})

    async def frame(self, connection: Connection, frame: Frame) -> None:
        """Handle a frame.

        Raises UnreadableAnswer if a field is missing or has another type.
        """
        if self._tap:
            self._tap(frame)
        try:
            await self._on_frame(connection, frame)
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableAnswer(f"a {frame['type']!r} frame from the server cannot be read ({error!r})") from error

    def gone(self, connection: Connection) -> None:
        """Let the next connection send again what is unanswered on this one."""
        self._sending.lost(connection)
        if self._encryption is not None and connection is self._source:
            self._encryption.lost()

    def place_of(self, activity: Activity) -> Position:
        """Return the position of a device that has handled this activity and all before it."""
        return Position(self._inbox.epoch or "", activity.id, self._owner_id)

    async def resync(self) -> None:
        """Close the connection: the next one delivers from the cursor on."""
        if self._source is not None:
            await self._source.close()

    async def _on_frame(self, connection: Connection, frame: Frame) -> None:
        match frame["type"]:
            case "activities":
                # A replaced socket's activities also arrive on its successor; only that one may skip activities.
                if connection is self._source:
                    await self._delivery.accept([Activity.from_wire(raw) for raw in frame["activities"]])
            case "ack":
                self._sending.answered(frame)
            case "error":
                self._on_error(frame)
            case "event":
                self._on_event(str(frame["name"]), frame.get("data") or {})
            case "caught_up":
                self._events.emit("client.caught_up", {"id": frame["id"]})

    def _on_error(self, frame: Frame) -> None:
        if not self._sending.answered(frame):
            _LOG.warning("the server refused a frame: %s (%s)", frame.get("message"), frame.get("code"))
            self._events.emit("client.error", frame)

    def _on_event(self, name: str, data: Any) -> None:
        if name == "token.expiring":
            self.token_expiring.set()
        if self._encryption is not None:
            self._encryption.event(name, data)
        self._events.emit(name, data)

    def _check_owner(self, person_id: int) -> None:
        if self._owner_id not in (None, person_id):
            raise ForeignCursor(
                f"the cursor belongs to person {self._owner_id}, the token to person {person_id}; use one cursor"
                " for each person"
            )
        self._owner_id = person_id

    def _take_place(self, welcome: Welcome) -> None:
        """Continue from the cursor; from 0 in a log with a new epoch; from its head if there was no cursor."""
        if self._inbox.cursor is None:
            self._inbox.begin(welcome.epoch, welcome.head_id)
        elif self._inbox.epoch is None:
            self._inbox.begin(welcome.epoch, self._inbox.cursor)
        elif self._inbox.epoch != welcome.epoch:
            self._inbox.begin(welcome.epoch, 0)
            self._sending.withdraw("received")
            self._events.emit("client.epoch_changed", {"epoch": welcome.epoch})
        self._inbox.follow_new_source()
