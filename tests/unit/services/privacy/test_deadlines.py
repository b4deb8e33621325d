"""The days before which arrivals are late agree with what each request says of itself."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from protocol.privacy_request import add_business_days, deadline, in_time_since
from server.services.privacy.deadlines import cutoffs
from storage.privacy.rows import day_number

DAYS = st.dates(date(1999, 1, 1), date(2090, 1, 1))


@given(today=DAYS, business_days=st.integers(1, 40))
def test_the_first_day_that_is_in_time_is_found(today: date, business_days: int) -> None:
    first = in_time_since(today, business_days)
    assert add_business_days(first, business_days) >= today
    assert add_business_days(first - timedelta(days=1), business_days) < today


@given(today=DAYS, days_ago=st.integers(0, 120))
def test_a_request_is_late_exactly_when_its_own_day_has_passed(today: date, days_ago: int) -> None:
    cut, received = cutoffs(today), today - timedelta(days=days_ago)
    day = day_number(received)
    assert (day < cut.answer) == (deadline(received, extended=False) < today)
    assert (day < cut.extended_answer) == (deadline(received, extended=True) < today)
    assert (day < cut.confirmation) == (add_business_days(received, 10) < today)
    assert (day < cut.opt_out) == (add_business_days(received, 15) < today)
