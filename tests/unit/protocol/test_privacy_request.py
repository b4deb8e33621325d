"""The legal clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.privacy_request import (
    PrivacyRequest,
    RequestType,
    ServiceCode,
    State,
    WebFormSession,
    add_business_days,
    deadline,
    months_before,
    received_on,
    utc_date,
)
from protocol.privacy_view import view
from protocol.us_states import STATE_ZONES, US_STATES


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("created", "extended", "due"),
    [
        ("2020-03-14T18:44:40", False, "2020-04-28"),
        ("2019-09-21T16:31:11", False, "2019-11-05"),
        ("2020-03-14T18:44:40", True, "2020-06-12"),
        ("2019-09-21T16:31:11", True, "2019-12-20"),
        ("2020-01-31T00:00:00", False, "2020-03-16"),  # over a 29 February
        ("2021-01-31T00:00:00", False, "2021-03-17"),  # over none
        ("2020-02-29T23:59:59", True, "2020-05-29"),
        ("2023-12-31T23:59:59", False, "2024-02-14"),
    ],
)
def test_the_deadline_is_45_days_after_arrival_and_90_once_extended(created: str, extended: bool, due: str) -> None:
    assert deadline(utc_date(at(created)), extended=extended).isoformat() == due


@pytest.mark.parametrize(
    ("moment", "state", "day"),
    [
        ("2024-07-01T06:59:59", "CA", "2024-06-30"),  # summer: 7 hours behind
        ("2024-07-01T07:00:00", "CA", "2024-07-01"),
        ("2024-01-01T07:59:59", "CA", "2023-12-31"),  # winter: 8
        ("2024-01-01T08:00:00", "CA", "2024-01-01"),
        ("2024-07-01T03:59:59", "DE", "2024-06-30"),
        ("2024-07-01T04:00:00", "de", "2024-07-01"),
        ("2024-07-01T06:30:00", "", "2024-06-30"),  # not known: California
        ("2024-07-01T06:30:00", "Bavaria", "2024-06-30"),
        ("2024-06-30T20:00:00", "GU", "2024-06-30"),  # Guam is ahead: there it is July already
        ("2024-07-01T05:30:00", "TX", "2024-06-30"),  # El Paso, an hour behind Houston
    ],
)
def test_the_day_of_arrival_is_the_earlier_of_the_consumers_and_utc(moment: str, state: str, day: str) -> None:
    assert received_on(at(moment), state).isoformat() == day


def test_every_state_has_a_clock() -> None:
    assert set(STATE_ZONES) == set(US_STATES)


@given(at_ms=st.integers(at("2000-01-01"), at("2090-01-01")), state=st.sampled_from(sorted(US_STATES)))
def test_the_day_of_arrival_is_at_most_a_day_early(at_ms: int, state: str) -> None:
    assert utc_date(at_ms) - received_on(at_ms, state) in (timedelta(0), timedelta(days=1))


@pytest.mark.parametrize(
    ("start", "days", "due"),
    [
        ("2020-03-16", 10, "2020-03-30"),  # a Monday
        ("2020-03-13", 1, "2020-03-16"),  # a Friday
        ("2020-03-14", 1, "2020-03-16"),  # a Saturday
        ("2020-03-15", 10, "2020-03-27"),  # a Sunday
        ("2020-03-14", 15, "2020-04-03"),
        ("2024-02-28", 2, "2024-03-01"),
        ("2020-03-18", 0, "2020-03-18"),
    ],
)
def test_business_days_skip_weekends(start: str, days: int, due: str) -> None:
    assert add_business_days(date.fromisoformat(start), days).isoformat() == due


@given(st.dates(date(2000, 1, 1), date(2199, 1, 1)), st.integers(1, 60))
def test_business_days_agree_with_counting(start: date, days: int) -> None:
    counted, left = start, days
    while left:
        counted += timedelta(days=1)
        left -= counted.weekday() < 5
    assert add_business_days(start, days) == counted


@pytest.mark.parametrize(
    ("moment", "months", "earlier"),
    [
        ("2026-03-14 18:44:40", 24, "2024-03-14 18:44:40"),
        ("2026-01-31 00:00:00", 24, "2024-01-31 00:00:00"),
        ("2028-02-29 12:00:00", 24, "2026-02-28 12:00:00"),
        ("2026-03-31 23:59:59", 25, "2024-02-29 23:59:59"),
        ("2026-01-01 00:00:00", 1, "2025-12-01 00:00:00"),
        ("2026-12-31 00:00:00", 36, "2023-12-31 00:00:00"),
    ],
)
def test_months_are_those_of_the_calendar(moment: str, months: int, earlier: str) -> None:
    assert months_before(at(moment), months) == at(earlier)


def test_a_request_shows_every_clock() -> None:
    created = at("2020-03-14T18:44:40")
    session = WebFormSession("s", created, do_not_sell=True)
    code = ServiceCode("57", "tes", created, created)
    request = PrivacyRequest("r", 7, RequestType.WEB_FORM, State(), created, created, code, web_form_session=session)
    shown = view(request)
    assert (shown.deadline, shown.confirmation_due, shown.opt_out_due) == (
        "2020-04-28",
        "2020-03-27",
        "2020-04-03",
    )
    assert shown.created_at == "2020-03-14T18:44:40Z"
    assert shown.call_session is None
    assert utc_date(created) == date(2020, 3, 14)
