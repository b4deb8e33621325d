"""Says in plain words how a delivery stands and how an attempt ended, for the operator."""

from __future__ import annotations

from protocol.activity import rfc3339
from storage.webhooks.attempts import Attempt
from storage.webhooks.deliveries import Delivery, Status


def delivery_in_words(delivery: Delivery) -> str:
    """Return one sentence that says how the delivery stands."""
    match delivery.status:
        case Status.DELIVERED:
            return f"Delivered by attempt {delivery.attempts}."
        case Status.FAILED:
            return f"Failed after {_attempts(delivery)}. It is not sent again until somebody retries it."
        case Status.CANCELLED:
            return "Cancelled: its endpoint or its privacy request no longer exists."
        case Status.PENDING:
            return _waiting(delivery)


def _waiting(delivery: Delivery) -> str:
    if not delivery.attempts:
        return "Waiting to be sent for the first time."
    if (delivery.attempted_at_ms or 0) >= (delivery.next_attempt_at_ms or 0):
        return f"Attempt {delivery.attempts} is being made."
    return f"Not delivered after {_attempts(delivery)}. The next one is at {rfc3339(delivery.next_attempt_at_ms or 0)}."


def attempt_in_words(attempt: Attempt) -> str:
    """Return one sentence that says how the attempt ended."""
    if attempt.http_status is None:
        return f"No answer after {attempt.duration_ms} ms: {attempt.error}."
    took = f"The receiver answered {attempt.http_status} after {attempt.duration_ms} ms"
    if attempt.http_status == 200:
        return f"{took}: the event was accepted."
    if 300 <= attempt.http_status < 400:
        return f"{took}: Buzz does not follow redirects."
    return f"{took}: only 200 counts as accepted."


def _attempts(delivery: Delivery) -> str:
    return "1 attempt" if delivery.attempts == 1 else f"{delivery.attempts} attempts"
