"""Lanes of webhook deliveries: what waits to be sent, and which worker is sending it.

A **lane** is one request's events to one endpoint; its deliveries go out one after another, in the order of their ids.
A worker leases the lane (``storage/leases.py``), so that two workers never send in one lane at once. A delivery is made
at least once.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from storage.ahead import CLOCKS_APART_MS
from storage.database import Reader, Transaction
from storage.leases import LeaseQueue
from storage.webhooks import attempts
from storage.webhooks.attempts import Attempt
from storage.webhooks.deliveries import Delivery, Status, find, oldest_waiting

SIGNINGS: Final = 2
"""An attempt may be signed with two keys, each a millisecond after the other."""


class WebhookLane(NamedTuple):
    """One request's events to one endpoint."""

    endpoint_id: int
    request_id: str


LANES: Final = LeaseQueue("webhook_lane", WebhookLane._fields, WebhookLane._fields, WebhookLane)
"""The lanes in which something waits, each due when its oldest waiting delivery is."""


class Leased(NamedTuple):
    """A delivery that was begun under a lease. ``more``: the endpoint seems to have other due lanes."""

    delivery: Delivery
    lease: str
    more: bool


async def due_endpoints(reader: Reader, now_ms: int) -> list[int]:
    """Return the endpoints that have a due lane."""
    rows = await reader.fetch(
        """SELECT e.id FROM webhook_endpoint e WHERE e.enabled AND e.deleted_at_ms IS NULL AND EXISTS (
               SELECT 1 FROM webhook_lane l WHERE l.endpoint_id = e.id AND l.due_at_ms <= ? AND l.lease_until_ms <= ?)
           ORDER BY e.id""",
        now_ms,
        now_ms,
    )
    return [endpoint_id for (endpoint_id,) in rows]


async def lease(transaction: Transaction, endpoint_id: int, lease: str, now_ms: int, until_ms: int) -> Leased | None:
    """Take the endpoint's lane that has been due longest, under the name ``lease``, and begin its oldest delivery.

    None: nothing is due, or the endpoint was deleted or is not enabled.
    """
    taken = await LANES.take(transaction, lease, now_ms, until_ms, _OF_ENDPOINT, endpoint_id)
    if taken is None:
        return None
    delivery = await _begin(transaction, *taken.row, now_ms)
    return Leased(delivery, lease, taken.more) if delivery else None


async def _begin(transaction: Transaction, endpoint_id: int, request_id: str, now_ms: int) -> Delivery | None:
    delivery = await oldest_waiting(transaction, endpoint_id, request_id)
    if delivery is None:
        await _settle(transaction, endpoint_id, request_id)
        return None
    at_ms = await _next_moment(transaction, endpoint_id, request_id, now_ms)
    await transaction.execute(
        "UPDATE webhook_delivery SET attempts = attempts + 1, attempted_at_ms = ? WHERE id = ?", at_ms, delivery.id
    )
    return delivery._replace(attempts=delivery.attempts + 1, attempted_at_ms=at_ms)


async def _next_moment(transaction: Transaction, endpoint_id: int, request_id: str, now_ms: int) -> int:
    """Return the time of an attempt: now, or just after the last attempt in this lane.

    Receivers order a request's events by this time, so different clocks on two nodes, or a clock that was set back,
    must not reverse them. A difference of minutes is accepted.
    """
    ((latest_ms,),) = await transaction.fetch(
        "SELECT MAX(attempted_at_ms) FROM webhook_delivery WHERE request_id = ? AND endpoint_id = ?",
        request_id,
        endpoint_id,
    )
    if latest_ms is None or latest_ms - now_ms > CLOCKS_APART_MS:
        return now_ms
    return max(now_ms, int(latest_ms) + SIGNINGS)


async def finish(transaction: Transaction, lease: str, done: Delivery, payload: str | None = None) -> bool:
    """Release the lane and store the delivery's result; False, and nothing changed, if the lease was lost.

    ``payload``: what was sent, for the log of attempts; None if nothing was. An answer to an event that was sent before
    the request was erased may repeat personal data: it is not stored.
    """
    if not await LANES.release(transaction, lease, done.endpoint_id, done.request_id):
        return False
    await transaction.execute(
        """UPDATE webhook_delivery SET status = ?, failures = ?, next_attempt_at_ms = ?, finished_at_ms = ?,
               http_status = ?, duration_ms = ?, error = ?, answer = CASE WHEN EXISTS (
                   SELECT 1 FROM privacy_request r
                   WHERE r.id = webhook_delivery.request_id AND r.erased_at_ms >= webhook_delivery.attempted_at_ms
               ) THEN '' ELSE ? END
           WHERE id = ?""",
        done.status.value,
        done.failures,
        done.next_attempt_at_ms,
        done.finished_at_ms,
        done.http_status,
        done.duration_ms,
        done.error,
        done.answer,
        done.id,
    )
    if payload is not None:
        await attempts.keep(transaction, _attempt(done, payload))
    await _settle(transaction, done.endpoint_id, done.request_id)
    return True


def _attempt(done: Delivery, payload: str) -> Attempt:
    return Attempt(
        delivery_id=done.id,
        number=done.attempts,
        at_ms=done.attempted_at_ms or 0,
        http_status=done.http_status,
        duration_ms=done.duration_ms or 0,
        error=done.error,
        answer=done.answer,
        payload=payload,
    )


async def _settle(transaction: Transaction, endpoint_id: int, request_id: str) -> None:
    # The lane's row is locked, and this statement sees everything committed before that: it misses no delivery that was
    # queued meanwhile.
    await transaction.execute(
        """UPDATE webhook_lane SET due_at_ms = COALESCE((
               SELECT d.next_attempt_at_ms FROM webhook_delivery d
               WHERE d.endpoint_id = ? AND d.request_id = ? AND d.status = 'pending' ORDER BY d.id LIMIT 1), -1)
           WHERE endpoint_id = ? AND request_id = ?""",
        endpoint_id,
        request_id,
        endpoint_id,
        request_id,
    )
    await transaction.execute(
        "DELETE FROM webhook_lane WHERE endpoint_id = ? AND request_id = ? AND due_at_ms = -1", endpoint_id, request_id
    )


async def retry(transaction: Transaction, delivery_id: int, now_ms: int) -> Delivery | None:
    """Make a failed or waiting delivery due now, with all automatic retries; None if it is in another state."""
    found = await find(transaction, delivery_id)
    if found is None or found.status not in (Status.PENDING, Status.FAILED):
        return None
    # The lane first, as everywhere: while it is locked, no worker is sending this delivery.
    lane = (found.endpoint_id, found.request_id)
    await transaction.execute(f"{_OPEN_LANE} VALUES (?, ?, ?, NULL, 0) {_DUE_NOW}", *lane, now_ms)
    await transaction.execute(
        """UPDATE webhook_delivery SET status = 'pending', failures = 0, next_attempt_at_ms = ?, finished_at_ms = NULL
           WHERE id = ? AND status IN ('pending', 'failed')""",
        now_ms,
        delivery_id,
    )
    await _settle(transaction, *lane)
    return await find(transaction, delivery_id)


async def retry_failed(transaction: Transaction, endpoint_id: int, now_ms: int) -> int:
    """Retry all failed deliveries of one endpoint; returns how many."""
    count = await transaction.execute(
        """UPDATE webhook_delivery SET status = 'pending', failures = 0, next_attempt_at_ms = ?, finished_at_ms = NULL
           WHERE endpoint_id = ? AND status = 'failed'""",
        now_ms,
        endpoint_id,
    )
    await transaction.execute(
        f"""{_OPEN_LANE} SELECT DISTINCT d.endpoint_id, d.request_id, CAST(? AS BIGINT), CAST(NULL AS TEXT), 0
            FROM webhook_delivery d WHERE d.endpoint_id = ? AND d.status = 'pending' AND d.next_attempt_at_ms = ?
            {_DUE_NOW}""",
        now_ms,
        endpoint_id,
        now_ms,
    )
    return count


_OF_ENDPOINT: Final = """endpoint_id = ? AND EXISTS (
    SELECT 1 FROM webhook_endpoint e WHERE e.id = webhook_lane.endpoint_id AND e.enabled)"""
_OPEN_LANE: Final = "INSERT INTO webhook_lane (endpoint_id, request_id, due_at_ms, lease, lease_until_ms)"
_DUE_NOW: Final = "ON CONFLICT (endpoint_id, request_id) DO UPDATE SET due_at_ms = excluded.due_at_ms"
