"""The attempts of webhook deliveries: what was sent, and what came back. They are for reading only: nothing is sent
because of them, so they may be deleted at any time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from storage.database import Reader, Transaction

MAX_ATTEMPTS: Final = 20
"""Kept of one delivery, which may be retried by hand without end. The oldest are deleted."""


class Attempt(NamedTuple):
    """One attempt. ``http_status`` None: there was no answer. ``payload``: the event as JSON; "" if it was erased."""

    delivery_id: int
    number: int
    at_ms: int
    http_status: int | None
    duration_ms: int
    error: str
    answer: str
    payload: str


_OF_REQUEST: Final = "SELECT d.id FROM webhook_delivery d WHERE d.request_id = ?"
_ERASED: Final = """SELECT 1 FROM webhook_delivery d JOIN privacy_request r ON r.id = d.request_id
    WHERE d.id = ? AND r.erased_at_ms >= ?"""


async def keep(transaction: Transaction, attempt: Attempt) -> None:
    """Store an attempt, without payload and answer if its request was erased after the attempt began."""
    if await transaction.fetch(_ERASED, attempt.delivery_id, attempt.at_ms):
        attempt = attempt._replace(answer="", payload="")
    await transaction.execute(
        """INSERT INTO webhook_attempt (delivery_id, number, at_ms, http_status, duration_ms, error, answer, payload)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (delivery_id, number) DO NOTHING""",
        *attempt,
    )
    await transaction.execute(
        "DELETE FROM webhook_attempt WHERE delivery_id = ? AND number <= ?",
        attempt.delivery_id,
        attempt.number - MAX_ATTEMPTS,
    )


async def of_delivery(reader: Reader, delivery_id: int) -> list[Attempt]:
    """Return the attempts of a delivery that are kept, oldest first."""
    rows = await reader.fetch(
        """SELECT delivery_id, number, at_ms, http_status, duration_ms, error, answer, payload
           FROM webhook_attempt WHERE delivery_id = ? ORDER BY number""",
        delivery_id,
    )
    return [Attempt(*row) for row in rows]


async def empty(transaction: Transaction, request_id: str) -> None:
    """Delete payloads and answers of a request's attempts: they have personal data."""
    await transaction.execute(
        f"UPDATE webhook_attempt SET answer = '', payload = '' WHERE delivery_id IN ({_OF_REQUEST})", request_id
    )
