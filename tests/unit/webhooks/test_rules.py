"""The worker's rules without a worker: what an attempt makes of a delivery, and who may have a slot."""

from __future__ import annotations

import pytest

from protocol.privacy_event import PrivacyEventName
from server.webhooks.sender import WebhookAnswer
from server.webhooks.worker import after, endpoint_slots, was_quick
from storage.webhooks.deliveries import Delivery, Status

NOW = 1_000_000
FRESH = Delivery(
    1, 2, "r", PrivacyEventName.UPDATED.value, False, Status.PENDING, 1, 0, NOW, NOW, NOW, None, None, None, "", "",
    "msg_1",
)  # fmt: skip
OK, REFUSED, SILENT = (
    WebhookAnswer(200, 5, "ok", ""),
    WebhookAnswer(500, 5, "no", "HTTP 500"),
    WebhookAnswer(None, 15_000, "", "no answer"),
)
RETRIES = (1_800, 1_800, 1_800)


def test_a_200_delivers() -> None:
    done = after(FRESH, OK, RETRIES, NOW)
    assert (done.status, done.next_attempt_at_ms, done.finished_at_ms, done.answer) == (
        Status.DELIVERED,
        None,
        NOW,
        "ok",
    )


@pytest.mark.parametrize(
    "answer", [REFUSED, SILENT, WebhookAnswer(201, 1, "", ""), WebhookAnswer(302, 1, "", "redirect")]
)
def test_anything_else_is_tried_again_three_times_and_has_failed_then(answer: WebhookAnswer) -> None:
    delivery, waits = FRESH, []
    for _ in RETRIES:
        delivery = after(delivery, answer, RETRIES, NOW)
        assert delivery.status is Status.PENDING
        assert delivery.next_attempt_at_ms is not None
        waits.append(delivery.next_attempt_at_ms - NOW)
    assert waits == [1_800_000] * 3
    failed = after(delivery, answer, RETRIES, NOW)
    assert (failed.status, failed.failures, failed.next_attempt_at_ms) == (Status.FAILED, 4, None)


def test_waits_may_grow_and_may_be_none_at_all() -> None:
    second = after(FRESH._replace(failures=1), REFUSED, (1, 60.5), NOW)
    assert second.next_attempt_at_ms == NOW + 60_500
    assert after(FRESH, REFUSED, (), NOW).status is Status.FAILED


def test_a_test_event_is_tried_once() -> None:
    assert after(FRESH._replace(event_name=PrivacyEventName.TEST.value), REFUSED, RETRIES, NOW).status is Status.FAILED


SLOW = WebhookAnswer(200, 9_000, "ok", "")


def test_an_endpoint_has_a_few_slots_once_it_answers_quickly() -> None:
    slots = endpoint_slots(per_endpoint=3, most=100)
    assert [slots.take(1) for _ in range(3)] == [True, True, False], "nothing is known of it"
    slots.heard(1, quick=was_quick(REFUSED))
    assert [slots.take(1) for _ in range(2)] == [True, False], "three in all"
    slots.give_back(1)
    assert slots.take(1)


@pytest.mark.parametrize("answer", [SILENT, SLOW])
def test_an_endpoint_that_is_silent_or_slow_has_one_slot(answer: WebhookAnswer) -> None:
    slots = endpoint_slots(per_endpoint=2, most=100)
    slots.heard(2, quick=was_quick(OK))
    slots.heard(2, quick=was_quick(answer))
    assert [slots.take(2) for _ in range(2)] == [True, False]
    slots.heard(2, quick=was_quick(OK))
    assert slots.take(2)


@pytest.mark.parametrize("answer", [SILENT, SLOW])
def test_the_silent_and_the_slow_have_half_of_the_slots_at_most(answer: WebhookAnswer) -> None:
    slots = endpoint_slots(per_endpoint=1, most=10)
    for endpoint in range(20):
        slots.heard(endpoint, quick=was_quick(answer))
    assert sum(slots.take(endpoint) for endpoint in range(20)) == 5
    assert sum(slots.take(endpoint) for endpoint in range(100, 120)) == 5, "the others have the rest"
    assert not slots.take(200)
