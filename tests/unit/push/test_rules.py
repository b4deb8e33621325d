"""The rules of push: who is due when, and what each result leaves behind."""

from __future__ import annotations

import pytest

from protocol.activity import Activity, ActivityType
from protocol.push import WakeFor
from server.push.outcome import PushAnswer, PushResult, Wake
from server.push.rules import (
    MAX_FAILURES,
    MAX_RETRY_AFTER_SECONDS,
    MAX_UNKNOWN,
    NOTHING,
    News,
    PushDecision,
    PushTimes,
    Waiting,
    after,
    can_be_due,
    due,
    to_ring,
    wait_seconds,
    wakes,
)
from storage.push.claims import PushMarks
from storage.push.registrations import Registration

NOW, TIMES = 10_000_000, PushTimes(10, 900)
FRESH = Registration(
    7, "phone", "webpush", "https://push.example/1", "{}", 1, 0, 1, NOW - 5_000_000, 50, None, 0, 0, None, 0, 0, 0, 0,
    None, None, None, 0, 50,
)  # fmt: skip
PUSHED = FRESH._replace(pushed_id=60, pushed_at_ms=NOW - 1_000, received_at_push=50, unanswered=1)
NEW = Waiting(70, NOW - 500)


def wake(row: Registration, id: int, *, clear: bool = False) -> PushDecision:
    return PushDecision(Wake(row, WakeFor.MESSAGE, id, clear))


def stored(row: Registration, marks: PushMarks) -> Registration:
    return row._replace(**marks._asdict())


def decided(
    row: Registration, waiting: Waiting | None, now_ms: int = NOW, *, has_session: bool = False, was_read: bool = False
) -> PushDecision:
    return due(row, News(waiting, was_read), now_ms, TIMES, has_session=has_session)


def test_something_newer_than_both_marks_is_due_at_once() -> None:
    assert decided(FRESH, NEW) == wake(FRESH, 70)
    assert decided(FRESH, None) == NOTHING
    heard = PUSHED._replace(received_id=60)
    assert decided(heard, NEW) == wake(heard, 70)
    assert decided(heard, Waiting(60, NOW)) == NOTHING


def test_a_device_with_a_session_has_time_to_confirm() -> None:
    assert decided(FRESH, NEW, has_session=True) == PushDecision(again_at_ms=NOW - 500 + 10_000)
    assert decided(FRESH, NEW, NOW + 9_500, has_session=True) == wake(FRESH, 70)
    assert decided(FRESH, Waiting(70, NOW + 3_600_000), has_session=True) == wake(FRESH, 70), "written by a fast clock"


def test_one_push_is_unanswered_at_a_time_then_one_more_then_none() -> None:
    again = NOW - 1_000 + 900_000
    assert decided(PUSHED, NEW) == PushDecision(again_at_ms=again)
    assert not can_be_due(PUSHED, NOW, TIMES, after_read=False)
    assert decided(PUSHED, NEW, again) == wake(PUSHED, 70)
    twice = stored(PUSHED, after(Wake(PUSHED, WakeFor.MESSAGE, 70), PushAnswer(PushResult.ACCEPTED), again, TIMES))
    assert (twice.unanswered, twice.again_at_ms) == (2, None)
    assert decided(twice, Waiting(99, again), again + 10**9) == NOTHING
    heard = twice._replace(received_id=51)
    assert decided(heard, Waiting(99, again), again + 1) == wake(heard, 99), "it was heard of"


def test_what_was_read_elsewhere_is_taken_away_once_where_that_is_possible() -> None:
    assert decided(PUSHED, None) == NOTHING
    assert decided(PUSHED, None, was_read=True) == wake(PUSHED, 60, clear=True)
    heard = PUSHED._replace(received_id=60)
    assert decided(heard, None, was_read=True) == wake(heard, 60, clear=True), "it has shown something meanwhile"
    assert decided(heard, None, was_read=True, has_session=True) == NOTHING, "it hears of the read by itself"
    assert decided(FRESH, None, was_read=True) == NOTHING, "it was never pushed"
    cleared = stored(
        PUSHED, after(Wake(PUSHED, WakeFor.MESSAGE, 60, True), PushAnswer(PushResult.ACCEPTED), NOW, TIMES)
    )
    assert (cleared.unanswered, cleared.pushed_id, decided(cleared, None, was_read=True)) == (1, 60, NOTHING)
    assert decided(PUSHED._replace(kind="apns"), None, was_read=True) == NOTHING


def test_an_accepted_push_moves_the_marks() -> None:
    done = stored(FRESH, after(Wake(FRESH, WakeFor.MESSAGE, 70), PushAnswer(PushResult.ACCEPTED), NOW, TIMES))
    assert (done.pushed_id, done.pushed_at_ms, done.received_at_push, done.unanswered) == (70, NOW, 50, 1)
    assert (done.again_at_ms, done.last_result) == (NOW + 900_000, "accepted")


def test_an_unknown_result_is_tried_once_more_and_counts_as_sent_then() -> None:
    row = FRESH
    for attempt in range(1, MAX_UNKNOWN):
        row = stored(row, after(Wake(row, WakeFor.MESSAGE, 70), PushAnswer(PushResult.UNKNOWN), NOW, TIMES))
        assert (row.pushed_id, row.attempts) == (50, attempt)
        assert row.again_at_ms == NOW + 1_000
    row = stored(row, after(Wake(row, WakeFor.MESSAGE, 70), PushAnswer(PushResult.UNKNOWN), NOW, TIMES))
    assert (row.pushed_id, row.attempts, row.unanswered, row.last_result) == (70, 0, 1, "unknown")


def test_a_service_that_is_down_is_tried_with_growing_waits_and_given_up_until_there_is_more() -> None:
    row, waits = FRESH, []
    for _ in range(MAX_FAILURES - 1):
        row = stored(row, after(Wake(row, WakeFor.MESSAGE, 70), PushAnswer(PushResult.UNAVAILABLE), NOW, TIMES))
        assert row.again_at_ms is not None
        assert not can_be_due(row, NOW, TIMES, after_read=True)
        waits.append(row.again_at_ms - NOW)
    assert all(2 ** (n + 1) * 750 <= wait <= 2 ** (n + 1) * 1_250 for n, wait in enumerate(waits))
    row = stored(row, after(Wake(row, WakeFor.MESSAGE, 70), PushAnswer(PushResult.UNAVAILABLE), NOW, TIMES))
    assert (row.given_up_id, row.again_at_ms, row.pushed_id) == (70, None, 50)
    assert decided(row, NEW) == NOTHING
    assert decided(row, Waiting(71, NOW)) == wake(row, 71)


def test_a_refused_push_is_not_tried_again_for_the_same_activity() -> None:
    row = stored(FRESH, after(Wake(FRESH, WakeFor.MESSAGE, 70), PushAnswer(PushResult.REFUSED), NOW, TIMES))
    assert (decided(row, NEW), row.last_result) == (NOTHING, "refused")


def test_a_wait_is_what_the_service_asks_for_within_a_limit() -> None:
    assert wait_seconds(1, 42.0) == 42
    assert wait_seconds(1, 10.0**9) == MAX_RETRY_AFTER_SECONDS
    assert wait_seconds(30, None, 0.5) == 300


@pytest.mark.parametrize(
    ("kind", "by"),
    [
        (ActivityType.chat_message, "messages"),
        (ActivityType.chat_reaction_emoji, "reactions"),
        (ActivityType.incoming_call_missed, "calls"),
        (ActivityType.chat_read_indicator, None),
        (ActivityType.incoming_call_connected_secure, None),
        (ActivityType.outgoing_call_missed, None),
    ],
)
def test_each_kind_of_activity_wakes_by_its_own_choice(kind: ActivityType, by: str | None) -> None:
    activity = Activity(70, kind, 456, 7, None, None, None, NOW)
    for choice in ("messages", "reactions", "calls"):
        only = FRESH._replace(**{f"wake_{each}": int(each == choice) for each in ("messages", "reactions", "calls")})
        assert wakes(only, activity) is (choice == by)


def test_a_call_rings_by_voip_alone_where_a_device_has_it() -> None:
    apns, voip = FRESH._replace(kind="apns"), FRESH._replace(kind="apns_voip")
    other, quiet = FRESH._replace(device_id="mac", kind="apns"), FRESH._replace(device_id="web", wake_calls=0)
    assert to_ring([apns, voip, other, quiet]) == [voip, other]
    assert to_ring([apns, voip._replace(wake_calls=0)]) == [apns]
    assert not can_be_due(voip, NOW, TIMES, after_read=True), "for calls only"
