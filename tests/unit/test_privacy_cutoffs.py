"""The moments before which arrivals are late agree with what each request says of itself."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from protocol.privacy_request import add_business_days, deadline, in_time_since, utc_date
from server.services.privacy_deadlines import cutoffs

DAYS = st.dates(date(1999, 1, 1), date(2090, 1, 1))


@given(today=DAYS, business_days=st.integers(1, 40))
def test_the_first_day_that_is_in_time_is_found(today: date, business_days: int) -> None:
    first = in_time_since(today, business_days)
    assert add_business_days(first, business_days) >= today
    assert add_business_days(first - timedelta(days=1), business_days) < today


@given(today=DAYS, ago_ms=st.integers(0, 120 * 86_400_000))
def test_a_request_is_late_exactly_when_its_own_day_has_passed(today: date, ago_ms: int) -> None:
    cut = cutoffs(today)
    created_ms = (today - date(1970, 1, 1)).days * 86_400_000 + 86_399_999 - ago_ms
    created = utc_date(created_ms)
    assert (created_ms < cut.answer_ms) == (deadline(created_ms, extended=False) < today)
    assert (created_ms < cut.extended_answer_ms) == (deadline(created_ms, extended=True) < today)
    assert (created_ms < cut.confirmation_ms) == (add_business_days(created, 10) < today)
    assert (created_ms < cut.opt_out_ms) == (add_business_days(created, 15) < today)
