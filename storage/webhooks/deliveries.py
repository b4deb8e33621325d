"""Webhook deliveries: the queue and the log in one.

A **lane** is one request's events to one endpoint; its deliveries go out one after another, in the order of their ids.
What a worker leases is the lane, by one conditional update, so that two workers, on one node or several, never send in
one lane at once. A lease that ran out (its holder died) is simply taken by the next: a delivery is made at least once.

Functions take the transaction they are part of: queuing is part of the change that the event tells of.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from storage.ahead import CLOCKS_APART_MS
from storage.database import Reader, Row, Transaction, Value
from storage.webhooks.endpoints import next_ids

_CANDIDATES: Final = 4
"""Lanes tried for one lease: others may take some of them between the look and the update."""

SIGNINGS: Final = 2
"""An attempt may be signed with two keys, each a millisecond after the other."""


class Status(StrEnum):
    """``pending`` waits or is being sent. ``failed`` stays until it is retried by hand."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Delivery(NamedTuple):
    """One event to one endpoint. ``webhook_id`` names it to its receiver, the same at every attempt and never another
    one's: not after the database was restored from a backup (``id`` is then given again), nor in another installation.

    ``attempts`` counts those begun, ``failures`` those that failed since the last retry by hand. From
    ``attempted_at_ms`` to ``error`` it is about the last attempt; ``attempted_at_ms`` is the time that it is signed
    with, later than every attempt before in its lane.
    """

    id: int
    endpoint_id: int
    request_id: str
    event_name: str
    with_recording: bool
    status: Status
    attempts: int
    failures: int
    next_attempt_at_ms: int | None
    created_at_ms: int
    attempted_at_ms: int | None
    finished_at_ms: int | None
    http_status: int | None
    duration_ms: int | None
    answer: str
    error: str
    webhook_id: str


class Leased(NamedTuple):
    """A delivery that was begun under a lease. ``more``: the endpoint seems to have other lanes that are due."""

    delivery: Delivery
    lease: str
    more: bool


class Filter(NamedTuple):
    """Which deliveries to list: newest first, with ids below ``before``."""

    endpoint_id: int | None = None
    request_id: str | None = None
    status: Status | None = None
    before: int | None = None
    limit: int = 100


_COLUMNS: Final = """d.id, d.endpoint_id, d.request_id, d.event_name, d.with_recording, d.status, d.attempts,
    d.failures, d.next_attempt_at_ms, d.created_at_ms, d.attempted_at_ms, d.finished_at_ms, d.http_status,
    d.duration_ms, d.answer, d.error, COALESCE(d.webhook_id, 'msg_' || d.id)"""
_HEAD: Final = f"""SELECT {_COLUMNS} FROM webhook_delivery d
    WHERE d.endpoint_id = ? AND d.request_id = ? AND d.status = 'pending' ORDER BY d.id LIMIT 1"""


async def queue(
    transaction: Transaction,
    endpoint_ids: Sequence[int],
    request_id: str,
    event_name: str,
    now_ms: int,
    *,
    with_recording: bool = False,
) -> range:
    """Queue one event for each endpoint, behind what waits in its lane; returns the deliveries' ids."""
    if not endpoint_ids:
        return range(0)
    ids = await next_ids(transaction, "delivery", len(endpoint_ids))
    await transaction.execute_many(
        """INSERT INTO webhook_delivery (
               id, endpoint_id, request_id, event_name, with_recording, status, attempts, failures,
               next_attempt_at_ms, created_at_ms, answer, error, webhook_id
           ) VALUES (?, ?, ?, ?, ?, 'pending', 0, 0, ?, ?, '', '', ?)""",
        [
            (delivery_id, endpoint_id, request_id, event_name, with_recording, now_ms, now_ms, _new_webhook_id())
            for delivery_id, endpoint_id in zip(ids, endpoint_ids, strict=True)
        ],
    )
    # A lane that waits for its next try goes on waiting for it.
    await transaction.execute_many(
        """INSERT INTO webhook_lane (endpoint_id, request_id, due_at_ms, lease, lease_until_ms)
           VALUES (?, ?, ?, NULL, 0)
           ON CONFLICT (endpoint_id, request_id) DO UPDATE SET due_at_ms = webhook_lane.due_at_ms""",
        [(endpoint_id, request_id, now_ms) for endpoint_id in endpoint_ids],
    )
    return ids


def _new_webhook_id() -> str:
    # 128 random bits, so that no two are equal wherever they are made.
    return f"msg_{secrets.token_hex(16)}"


async def due_endpoints(reader: Reader, now_ms: int) -> list[int]:
    """The endpoints for which something is due."""
    rows = await reader.fetch(
        """SELECT e.id FROM webhook_endpoint e WHERE e.enabled AND e.deleted_at_ms IS NULL AND EXISTS (
               SELECT 1 FROM webhook_lane l WHERE l.endpoint_id = e.id AND l.due_at_ms <= ? AND l.lease_until_ms <= ?)
           ORDER BY e.id""",
        now_ms,
        now_ms,
    )
    return [endpoint_id for (endpoint_id,) in rows]


async def reclaim(transaction: Transaction) -> int:
    """Take every lease back; returns how many. Right only where no other process can be at work on this database."""
    return await transaction.execute("UPDATE webhook_lane SET lease = NULL, lease_until_ms = 0 WHERE lease IS NOT NULL")


async def next_due_ms(reader: Reader, now_ms: int) -> int | None:
    """When the next lane falls due that is not due yet; None if there is none."""
    ((due_at_ms,),) = await reader.fetch("SELECT MIN(due_at_ms) FROM webhook_lane WHERE due_at_ms > ?", now_ms)
    found: int | None = due_at_ms
    return found


async def lease(transaction: Transaction, endpoint_id: int, lease: str, now_ms: int, until_ms: int) -> Leased | None:
    """Take the endpoint's lane that has been due longest, under the name ``lease``, and begin its oldest delivery.

    None: nothing is due, or the endpoint is gone or not enabled.
    """
    lanes = await transaction.fetch(
        """SELECT l.request_id FROM webhook_lane l JOIN webhook_endpoint e ON e.id = l.endpoint_id
           WHERE l.endpoint_id = ? AND l.due_at_ms <= ? AND l.lease_until_ms <= ? AND e.enabled
           ORDER BY l.due_at_ms, l.request_id LIMIT ?""",
        endpoint_id,
        now_ms,
        now_ms,
        _CANDIDATES,
    )
    for position, (request_id,) in enumerate(lanes, start=1):
        if await _take(transaction, endpoint_id, request_id, lease, now_ms, until_ms):
            delivery = await _begin(transaction, endpoint_id, request_id, now_ms)
            return Leased(delivery, lease, position < len(lanes)) if delivery else None
    return None


async def _take(
    transaction: Transaction, endpoint_id: int, request_id: str, lease: str, now_ms: int, until_ms: int
) -> bool:
    taken = await transaction.execute(
        """UPDATE webhook_lane SET lease = ?, lease_until_ms = ?
           WHERE endpoint_id = ? AND request_id = ? AND due_at_ms <= ? AND lease_until_ms <= ?""",
        lease,
        until_ms,
        endpoint_id,
        request_id,
        now_ms,
        now_ms,
    )
    return taken > 0


async def _begin(transaction: Transaction, endpoint_id: int, request_id: str, now_ms: int) -> Delivery | None:
    rows = await transaction.fetch(_HEAD, endpoint_id, request_id)
    if not rows:
        await _settle(transaction, endpoint_id, request_id)
        return None
    delivery = _delivery(rows[0])
    at_ms = await _next_moment(transaction, endpoint_id, request_id, now_ms)
    await transaction.execute(
        "UPDATE webhook_delivery SET attempts = attempts + 1, attempted_at_ms = ? WHERE id = ?", at_ms, delivery.id
    )
    return delivery._replace(attempts=delivery.attempts + 1, attempted_at_ms=at_ms)


async def _next_moment(transaction: Transaction, endpoint_id: int, request_id: str, now_ms: int) -> int:
    """Now, or later than every attempt before in this lane: receivers order a request's events by this time, and
    neither two nodes' clocks nor one that was set back may turn them round. A clock that is minutes off is believed."""
    ((latest_ms,),) = await transaction.fetch(
        "SELECT MAX(attempted_at_ms) FROM webhook_delivery WHERE request_id = ? AND endpoint_id = ?",
        request_id,
        endpoint_id,
    )
    if latest_ms is None or latest_ms - now_ms > CLOCKS_APART_MS:
        return now_ms
    return max(now_ms, int(latest_ms) + SIGNINGS)


async def finish(transaction: Transaction, lease: str, done: Delivery) -> bool:
    """Give the lane back with the delivery as it now stands; False, and nothing changed, if the lease was lost.

    An answer to what was sent before the request was erased may repeat what it told: it is not kept.
    """
    held = await transaction.execute(
        """UPDATE webhook_lane SET lease = NULL, lease_until_ms = 0
           WHERE endpoint_id = ? AND request_id = ? AND lease = ?""",
        done.endpoint_id,
        done.request_id,
        lease,
    )
    if not held:
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
    await _settle(transaction, done.endpoint_id, done.request_id)
    return True


async def _settle(transaction: Transaction, endpoint_id: int, request_id: str) -> None:
    # The lane's row is locked by now, and this statement sees what was committed before it was: nothing queued
    # meanwhile is overlooked.
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
    """Make a failed or waiting delivery due now, with all its automatic retries again; None if it is neither."""
    found = await find(transaction, delivery_id)
    if found is None or found.status not in (Status.PENDING, Status.FAILED):
        return None
    # The lane first, as everywhere: whoever holds it is not in the midst of this delivery.
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
    """The same for everything of one endpoint that failed; returns how many deliveries."""
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


_OPEN_LANE: Final = "INSERT INTO webhook_lane (endpoint_id, request_id, due_at_ms, lease, lease_until_ms)"
_DUE_NOW: Final = "ON CONFLICT (endpoint_id, request_id) DO UPDATE SET due_at_ms = excluded.due_at_ms"


async def find(reader: Reader, delivery_id: int) -> Delivery | None:
    """One delivery."""
    rows = await reader.fetch(f"SELECT {_COLUMNS} FROM webhook_delivery d WHERE d.id = ?", delivery_id)
    return _delivery(rows[0]) if rows else None


async def listed(reader: Reader, wanted: Filter) -> list[Delivery]:
    """The log, newest first."""
    tests: list[tuple[str, Value]] = [
        ("d.endpoint_id = ?", wanted.endpoint_id),
        ("d.request_id = ?", wanted.request_id),
        ("d.id < ?", wanted.before),
    ]
    given = [(test, value) for test, value in tests if value is not None]
    # A status is written out: those that are few have partial indexes.
    every = [test for test, _ in given] + ([f"d.status = '{wanted.status}'"] if wanted.status else [])
    where = f"WHERE {' AND '.join(every)}" if every else ""
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM webhook_delivery d {where} ORDER BY d.id DESC LIMIT ?",
        *(value for _, value in given),
        wanted.limit,
    )
    return [_delivery(row) for row in rows]


async def forget_answers(transaction: Transaction, request_id: str) -> None:
    """Empty what receivers answered to a request's events: it may repeat what they were told."""
    await transaction.execute(
        "UPDATE webhook_delivery SET answer = '' WHERE request_id = ? AND answer <> ''", request_id
    )


async def counts(reader: Reader) -> dict[Status, int]:
    """How many deliveries are in each status."""
    rows = await reader.fetch("SELECT status, COUNT(*) FROM webhook_delivery GROUP BY status")
    return {Status(status): count for status, count in rows}


async def unfinished(reader: Reader) -> dict[int, dict[Status, int]]:
    """By endpoint, how many deliveries wait and how many failed; endpoints without any are left out."""
    found: dict[int, dict[Status, int]] = {}
    for status in (Status.PENDING, Status.FAILED):
        # One status at a time, written out: each has its own partial index.
        rows = await reader.fetch(
            f"SELECT endpoint_id, COUNT(*) FROM webhook_delivery WHERE status = '{status}' GROUP BY endpoint_id"
        )
        for endpoint_id, count in rows:
            found.setdefault(endpoint_id, {})[status] = count
    return found


def _delivery(row: Row) -> Delivery:
    delivery_id, endpoint_id, request_id, event_name, with_recording, status, *rest = row
    return Delivery(delivery_id, endpoint_id, request_id, event_name, bool(with_recording), Status(status), *rest)
