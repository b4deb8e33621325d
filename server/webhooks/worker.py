"""The delivery worker: sends what is due, independently for each endpoint.

The rows are the truth and a wake-up only starts a query: so it also finds what another node queued, what becomes due,
and what a dead worker left. An endpoint that has answered quickly has a few slots of its own, so that one that hangs
delays only itself; until then it has two. If its last answer was late or missing, it has a single one, and all such
endpoints together have at most half of all slots.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

import structlog

from protocol.privacy_event import PrivacyEventName
from server.runtime.slots import Slots
from server.runtime.tasks import Tasks
from server.webhooks.message import Fresh, WebhookMessage, build
from server.webhooks.queue import DeliveryQueue, Subject
from server.webhooks.sender import WebhookAnswer
from storage.errors import StorageError
from storage.webhooks.deliveries import Delivery, Status
from storage.webhooks.lanes import SIGNINGS, Leased

SLOTS_PER_ENDPOINT: Final = 4
MAX_SLOTS: Final = 1_024
SLOW_MS: Final = 2_000
"""An endpoint whose last answer took longer is served like one that gave none."""

POLL_SECONDS: Final = 30.0
"""The longest time between two polls of all endpoints: one finds what other nodes queued or left behind."""

_FINISH_TRIES: Final = 3
STOP_SECONDS: Final = 5.0
"""How long stopping waits for the attempts under way."""

_OUR_FAULT: Final = WebhookAnswer(None, 0, "", "not sent: an error of this server, see its log")

_logger = structlog.get_logger("webhooks")


class Sender(Protocol):
    """Posts one message; never raises for an endpoint's failure."""

    async def post(self, message: WebhookMessage) -> WebhookAnswer: ...


def endpoint_slots(per_endpoint: int = SLOTS_PER_ENDPOINT, most: int = MAX_SLOTS) -> Slots[int]:
    """Return the slots of webhook endpoints: two until an endpoint has answered, one while it is slow."""
    return Slots(quick=per_endpoint, new=2, slow=1, most=most)


def was_quick(answer: WebhookAnswer) -> bool:
    """Return whether an endpoint answered, and soon."""
    return answer.status is not None and answer.duration_ms < SLOW_MS


class WebhookWorker:
    """Owns every running attempt.

    ``retry_seconds``: how long to wait after each failure; then the delivery has failed.
    """

    def __init__(
        self,
        queue: DeliveryQueue,
        sender: Sender,
        retry_seconds: Sequence[float],
        now_ms: Callable[[], int],
        slots: Slots[int] | None = None,
        count: Callable[[str], None] = lambda result: None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """``count`` is called with each attempt's result: ``delivered``, ``retried``, ``failed`` or ``cancelled``."""
        self._queue = queue
        self._sender = sender
        self._retry_seconds = tuple(retry_seconds)
        self._now_ms = now_ms
        self._slots = slots or endpoint_slots()
        self._count = count
        self._stop_seconds = stop_seconds
        self._woken: set[int] = set()
        self._refused: set[int] = set()
        self._poll_all = True
        self._news = asyncio.Event()
        self._attempts = Tasks()
        self._stopping = False

    def wake(self, endpoint_ids: Collection[int] = ()) -> None:
        """Look for due deliveries of these endpoints, or of all if none is given."""
        self._woken.update(endpoint_ids)
        self._poll_all = self._poll_all or not endpoint_ids
        self._news.set()

    async def run(self) -> None:
        """Work until :meth:`stop`. If storage can't be used, it is tried again, and nothing queued is lost."""
        while not self._stopping:
            self._news.clear()
            try:
                for endpoint_id in await self._due():
                    self._begin(endpoint_id)
                wait = await self._queue.seconds_to_next()
            except StorageError as error:
                _logger.warning("webhook queue unavailable", reason=str(error))
                wait = 1.0
                self._poll_all = True
            await self._rest(min(POLL_SECONDS, POLL_SECONDS if wait is None else max(0.0, wait)))

    async def stop(self) -> None:
        """Begin no more attempts; wait briefly for the running ones, then release their leases."""
        self._stopping = True
        self._news.set()
        await self._attempts.cancel(self._stop_seconds)
        await self._queue.close()

    async def _due(self) -> Collection[int]:
        woken, self._woken = self._woken, set()
        if not self._poll_all:
            return woken
        self._poll_all = False
        return woken.union(await self._queue.due_endpoints())

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            self._poll_all = True

    def _begin(self, endpoint_id: int) -> None:
        if self._stopping:
            return
        if not self._slots.take(endpoint_id):
            self._refused.add(endpoint_id)
            return
        self._attempts.start(f"webhook endpoint {endpoint_id}", self._serve(endpoint_id))

    async def _serve(self, endpoint_id: int) -> None:
        """Make deliveries to one endpoint, one after another, until none is due."""
        try:
            while not self._stopping and (leased := await self._queue.lease(endpoint_id)) is not None:
                if leased.more:
                    self._begin(endpoint_id)
                await self._deliver(leased)
        except StorageError as error:
            _logger.warning("webhook queue unavailable", endpoint_id=endpoint_id, reason=str(error))
            self._poll_all = True
        finally:
            self._slots.give_back(endpoint_id)
            self._admit()

    def _admit(self) -> None:
        """Look again at endpoints that were refused a slot, because one is free now."""
        if self._refused:
            self._woken |= self._refused
            self._refused.clear()
            self._news.set()

    async def _deliver(self, leased: Leased) -> None:
        delivery, payload = leased.delivery, None
        try:
            done, payload = await self._attempt(delivery)
        except asyncio.CancelledError:
            # Stopped during the attempt: whether it arrived is unknown, so it becomes due again at once.
            await asyncio.shield(self._finish(leased, delivery._replace(next_attempt_at_ms=self._now_ms()), None))
            raise
        except StorageError as error:
            done = delivery._replace(next_attempt_at_ms=self._now_ms() + 1_000, error=str(error))
        except Exception:  # an error with one delivery must not stop all others
            _logger.exception("webhook could not be built", delivery_id=delivery.id)
            done, payload = after(delivery, _OUR_FAULT, self._retry_seconds, self._now_ms()), ""
        await self._finish(leased, done, payload)

    async def _attempt(self, delivery: Delivery) -> tuple[Delivery, str | None]:
        """Make an attempt; returns the delivery after it, and what was sent (None: nothing)."""
        subject = await self._queue.subject(delivery)
        if subject is None:
            return cancelled(delivery, self._now_ms()), None
        answer, payload = await self._post(delivery, subject)
        self._slots.heard(delivery.endpoint_id, quick=was_quick(answer))
        return after(delivery, answer, self._retry_seconds, self._now_ms()), payload

    async def _post(self, delivery: Delivery, subject: Subject) -> tuple[WebhookAnswer, str]:
        answer, payload = _OUR_FAULT, ""
        signed_at_ms = delivery.attempted_at_ms or self._now_ms()
        for count, api_key in enumerate(subject.endpoint.keys.api_keys(self._now_ms())[:SIGNINGS]):
            fresh = Fresh(signed_at_ms + count, secrets.token_hex(16), secrets.token_hex(16))
            message = build(subject.endpoint, delivery, subject.request, subject.recording, api_key, fresh)
            answer, payload = await self._sender.post(message), message.logged
            if not answer.refuses_the_key:
                break
        return answer, payload

    async def _finish(self, leased: Leased, done: Delivery, payload: str | None) -> None:
        for _ in range(_FINISH_TRIES):
            try:
                if not await self._queue.finish(leased, done, payload):
                    _logger.warning("webhook lease lost", delivery_id=done.id)
            except StorageError as error:
                _logger.warning("webhook result could not be stored", delivery_id=done.id, reason=str(error))
                continue
            self._count("retried" if done.status is Status.PENDING else done.status.value)
            say = _logger.debug if done.status is Status.DELIVERED else _logger.info
            say("webhook", delivery_id=done.id, status=done.status.value, http_status=done.http_status)
            if done.status is Status.PENDING:
                self._news.set()  # the loop sleeps until a due time that it read before this one was stored
            return


def after(delivery: Delivery, answer: WebhookAnswer, retry_seconds: Sequence[float], now_ms: int) -> Delivery:
    """Return the delivery after an attempt: delivered, waiting for the next, or failed. A test is attempted once."""
    tried = delivery._replace(
        http_status=answer.status, duration_ms=answer.duration_ms, answer=answer.text, error=answer.error
    )
    if answer.ok:
        return tried._replace(status=Status.DELIVERED, next_attempt_at_ms=None, finished_at_ms=now_ms)
    failures = delivery.failures + 1
    if failures > len(retry_seconds) or delivery.event_name == PrivacyEventName.TEST:
        return tried._replace(status=Status.FAILED, failures=failures, next_attempt_at_ms=None, finished_at_ms=now_ms)
    wait_ms = int(retry_seconds[failures - 1] * 1000)
    return tried._replace(status=Status.PENDING, failures=failures, next_attempt_at_ms=now_ms + wait_ms)


def cancelled(delivery: Delivery, now_ms: int) -> Delivery:
    """Return the delivery as cancelled, because its request or its endpoint no longer exists."""
    return delivery._replace(status=Status.CANCELLED, next_attempt_at_ms=None, finished_at_ms=now_ms)
