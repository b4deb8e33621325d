"""Handles each of a session's frames and answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from math import ceil
from typing import Any

import structlog

from protocol.activity import PARTY_TYPES, Party, rfc3339
from protocol.codec import BadFrame
from protocol.errors import ApiError, ErrorCode
from protocol.events import EventName
from protocol.frames import Ack, ClientFrame, Error, Hello, Ping, Pong, Received, Ref, Refresh, Refreshed, Send, Typing
from server.auth.contract import Authenticator
from server.live.events import Events
from server.live.hub import Hub
from server.live.log import refused
from server.live.parties import Parties
from server.live.session import Session
from server.runtime.limits import Buckets
from server.runtime.tasks import OnDemand
from server.services.activities import Activities, Answer
from server.services.receipts import Receipts
from storage.contract import Refusal, Result, Stored
from storage.errors import StorageError

_logger = structlog.get_logger("frame_handler")
Mark = tuple[int, str, int, int]
"""(person id, device id, activity id, when its token was issued): the device has stored everything up to that id."""
RETRY_SECONDS = 1.0
"""When received marks are stored again that storage did not take."""
TYPING_LASTS_MS = 8_000
"""A client stops showing a typing notice after so long, so that a lost one ends by itself."""
TYPING_EVERY_SECONDS = 1.0
"""A typing notice to the same party is passed on at most this often, however often it is sent."""


class FrameHandler:
    """Answers frames. ``keep`` stores the devices' received ids, see :data:`Mark`."""

    def __init__(
        self,
        hub: Hub,
        events: Events,
        activities: Activities,
        parties: Parties,
        auth: Authenticator,
        keep: Callable[[Sequence[Mark]], Awaitable[None]],
        receipts: Receipts,
    ) -> None:
        self._hub = hub
        self._events = events
        self._activities = activities
        self._parties = parties
        self._auth = auth
        self._keep = keep
        self._receipts = receipts
        self.on_received: Callable[[int, str, int], None] = lambda person_id, device_id, id: None
        """Called with each confirmation of a device: everything up to this id."""
        self._marks: dict[tuple[int, str, int], int] = {}
        self._keeper = OnDemand("received marks", self._keep_marks)
        self._closing = asyncio.Event()
        self._typing: Buckets[tuple[int, int]] = Buckets(1 / TYPING_EVERY_SECONDS, 1)

    def handle(self, session: Session, frame: ClientFrame) -> Coroutine[Any, Any, None] | None:
        """Handle a frame; returns the rest of the work if it must wait for something.

        Both raise ApiError (BadFrame with the ref) if the frame is refused.
        """
        if type(frame) is Send:  # nearly all are
            return None if self.send_known(session, frame) else self._send(session, frame)
        match frame:
            case Received():
                self._received(session, frame)
            case Ping():
                session.tell(Pong(frame.ref))
            case Typing():
                return self._type(session, frame)
            case Refresh():
                return self._refresh(session, frame)
            case Hello():
                raise BadFrame("The session has said hello already.", frame.ref)
        return None

    async def close(self) -> None:
        """Store the received ids that still wait, if storage can be used."""
        self._closing.set()
        await self._keeper.finish()

    def send_known(self, session: Session, frame: Send) -> bool:
        """Post the activity without waiting, if all parties are in memory; False: not done."""
        new = frame.activity
        try:
            return self._activities.submit_chat(session, frame.ref, new) or self._activities.submit_known(
                session.caller.person, new, new.idempotency_key, self._answer_to(session, frame.ref)
            )
        except ApiError as error:
            raise error.about(frame.ref) from None

    async def _send(self, session: Session, frame: Send) -> None:
        new = frame.activity
        try:
            await self._activities.submit(
                session.caller.person, new, new.idempotency_key, self._answer_to(session, frame.ref)
            )
        except ApiError as error:
            raise error.about(frame.ref) from None

    def _answer_to(self, session: Session, ref: str | int) -> Answer:
        return lambda result: self.acknowledge(session, ref, result)

    def acknowledge(self, session: Session, ref: Ref, result: Result | Exception) -> None:
        """Queue the ``ack`` or ``error`` for a send; it is written with the commit's activities."""
        if isinstance(result, Stored):
            activity = result.activity
            answer: Ack | Error = Ack(ref, activity.id, rfc3339(activity.created_at_ms), result.duplicate)
        else:
            answer = error_frame((refused(result) if isinstance(result, Refusal) else _api_error(result)).about(ref))
        self._hub.answer(session, answer)

    def _received(self, session: Session, frame: Received) -> None:
        received_id = min(frame.id, self._hub.head)
        session.received(received_id)
        if session.device_id is None:
            return  # it is stored per device, and this session has not named its device
        person_id = session.caller.person
        self._receipts.received(person_id, received_id)
        self.on_received(person_id, session.device_id, received_id)
        key = person_id, session.device_id, session.caller.issued_at_ms
        self._marks[key] = max(self._marks.get(key, 0), received_id)
        self._keeper.wake()

    async def _keep_marks(self) -> None:
        """Write all received ids that arrived during the last write, in one write."""
        while self._marks:
            marks, self._marks = self._marks, {}
            try:
                await self._keep([(person, device, id, issued) for (person, device, issued), id in marks.items()])
            except StorageError as error:
                _logger.error("received marks can't be stored", reason=str(error), marks=len(marks))
                if self._closing.is_set():
                    return
                self._marks = {key: max(marks.get(key, 0), self._marks.get(key, 0)) for key in marks | self._marks}
                await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), RETRY_SECONDS)

    async def _type(self, session: Session, frame: Typing) -> None:
        person = session.caller.person
        to = Party(PARTY_TYPES[frame.to.type], frame.to.id)
        if self._typing.take((person, to.key)):
            return
        await self._parties.load((to.key,))
        if self._parties.get(to.key) is None:
            raise ApiError(ErrorCode.NOT_FOUND, f"Not Found: there is no {to}.").about(frame.ref)
        by = Party.of_key(person)
        data = {
            "from": {"type": by.type.value, "id": by.id},
            "to": {"type": to.type.value, "id": to.id},
            "expires_in_ms": TYPING_LASTS_MS,
        }
        self._events.publish((to.key,), EventName.TYPING, data, but=person)

    async def _refresh(self, session: Session, frame: Refresh) -> None:
        try:
            caller = await self._auth.verify(frame.token)
        except ApiError as error:
            raise error.about(frame.ref) from None
        if caller.person_id != session.caller.person_id:
            raise ApiError(ErrorCode.FORBIDDEN, "The token belongs to another person.").about(frame.ref)
        session.renewed(caller)
        session.tell(Refreshed(rfc3339(caller.expires_at_ms), frame.ref))


def _api_error(error: Exception) -> ApiError:
    """Return the error itself. Raises any other one: it is a fault."""
    if isinstance(error, ApiError):
        return error
    raise error


def error_frame(error: ApiError) -> Error:
    """Return the ``error`` frame for a refused frame."""
    wait = error.retry_after_seconds
    # Rounded up, because a client would try again at once after a wait of 0.0, and fail.
    seconds = None if wait is None else ceil(wait * 1_000) / 1_000
    return Error(error.socket_code.value, error.message, error.ref, seconds)
