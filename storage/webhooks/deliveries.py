"""Webhook deliveries: one table is both queue and log. The order of sending is in ``lanes.py``.

Functions take the transaction that they are part of: an event is queued with the change that it reports.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from storage.bulk import marks
from storage.database import Reader, Row, Transaction, Value
from storage.webhooks import attempts
from storage.webhooks.endpoints import next_ids


class Status(StrEnum):
    """``pending`` waits or is being sent. ``failed`` stays until it is retried manually."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Delivery(NamedTuple):
    """One event to one endpoint.

    ``webhook_id`` identifies it to its receiver. It is the same at every attempt and never used again, neither after
    the database was restored from a backup (``id`` is then assigned again) nor in another installation.

    ``attempts`` counts the attempts begun, ``failures`` those that failed since the last manual retry. The fields from
    ``attempted_at_ms`` to ``error`` describe the last attempt; ``attempted_at_ms`` is the time that it is signed with,
    later than every attempt before in its lane.
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


async def queue(
    transaction: Transaction,
    endpoint_ids: Sequence[int],
    request_id: str,
    event_name: str,
    now_ms: int,
    *,
    with_recording: bool = False,
) -> range:
    """Queue one event for each endpoint, at the end of its lane; returns the deliveries' ids."""
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
    # A lane that waits for its next attempt keeps that time.
    await transaction.execute_many(
        """INSERT INTO webhook_lane (endpoint_id, request_id, due_at_ms, lease, lease_until_ms)
           VALUES (?, ?, ?, NULL, 0)
           ON CONFLICT (endpoint_id, request_id) DO UPDATE SET due_at_ms = webhook_lane.due_at_ms""",
        [(endpoint_id, request_id, now_ms) for endpoint_id in endpoint_ids],
    )
    return ids


def _new_webhook_id() -> str:
    # 128 random bits, so that no two are equal, on any installation.
    return f"msg_{secrets.token_hex(16)}"


async def oldest_waiting(reader: Reader, endpoint_id: int, request_id: str) -> Delivery | None:
    """Return the delivery that is next in its lane."""
    rows = await reader.fetch(
        f"""SELECT {_COLUMNS} FROM webhook_delivery d
            WHERE d.endpoint_id = ? AND d.request_id = ? AND d.status = 'pending' ORDER BY d.id LIMIT 1""",
        endpoint_id,
        request_id,
    )
    return _delivery(rows[0]) if rows else None


async def find(reader: Reader, delivery_id: int) -> Delivery | None:
    """Return one delivery."""
    rows = await reader.fetch(f"SELECT {_COLUMNS} FROM webhook_delivery d WHERE d.id = ?", delivery_id)
    return _delivery(rows[0]) if rows else None


async def listed(reader: Reader, wanted: Filter) -> list[Delivery]:
    """Return the log of deliveries, newest first."""
    tests: list[tuple[str, Value]] = [
        ("d.endpoint_id = ?", wanted.endpoint_id),
        ("d.request_id = ?", wanted.request_id),
        ("d.id < ?", wanted.before),
    ]
    given = [(test, value) for test, value in tests if value is not None]
    # The status is a literal in the SQL, because the rare ones have partial indexes.
    every = [test for test, _ in given] + ([f"d.status = '{wanted.status}'"] if wanted.status else [])
    where = f"WHERE {' AND '.join(every)}" if every else ""
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM webhook_delivery d {where} ORDER BY d.id DESC LIMIT ?",
        *(value for _, value in given),
        wanted.limit,
    )
    return [_delivery(row) for row in rows]


async def forget_answers(transaction: Transaction, request_id: str) -> None:
    """Delete the answers of receivers to a request's events, and what was sent: both have personal data."""
    await attempts.empty(transaction, request_id)
    await transaction.execute(
        "UPDATE webhook_delivery SET answer = '' WHERE request_id = ? AND answer <> ''", request_id
    )


async def unfinished(reader: Reader, endpoint_ids: Sequence[int]) -> dict[int, dict[Status, int]]:
    """Return by endpoint how many deliveries wait and how many failed; endpoints without any are left out."""
    if not endpoint_ids:
        return {}
    found: dict[int, dict[Status, int]] = {}
    for status in (Status.PENDING, Status.FAILED):
        # One status at a time, as a literal: each has its own partial index.
        rows = await reader.fetch(
            f"""SELECT endpoint_id, COUNT(*) FROM webhook_delivery
                WHERE status = '{status}' AND endpoint_id IN ({marks(endpoint_ids)}) GROUP BY endpoint_id""",
            *endpoint_ids,
        )
        for endpoint_id, count in rows:
            found.setdefault(endpoint_id, {})[status] = count
    return found


def _delivery(row: Row) -> Delivery:
    delivery_id, endpoint_id, request_id, event_name, with_recording, status, *rest = row
    return Delivery(delivery_id, endpoint_id, request_id, event_name, bool(with_recording), Status(status), *rest)
