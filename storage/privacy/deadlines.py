"""Finds the privacy requests that are due: for the operator, over all companies, by the day of their deadline.

There are few requests compared to messages, and only operators run these queries, so they may scan them all.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from protocol.privacy_request import DEADLINE_DAYS, EXTENDED_DEADLINE_DAYS, PrivacyRequest
from storage.database import Reader
from storage.privacy.requests import STEP_ROWS, is_full
from storage.privacy.rows import SELECT, kept_request


class Which(StrEnum):
    """``overdue``: a due date has passed, and the request is not done."""

    OPEN = "open"
    OVERDUE = "overdue"
    COMPLETED = "completed"


class Cutoffs(NamedTuple):
    """Days of arrival (``day_number``): requests that arrived before are late with answer, confirmation, opt-out."""

    answer: int
    extended_answer: int
    confirmation: int
    opt_out: int


class DueCounts(msgspec.Struct, frozen=True):
    """Numbers of requests."""

    open: int
    """Not completed."""
    overdue: int
    """Late in any way."""
    answer_overdue: int
    """Not answered in time; one request may be late in several ways."""
    confirmation_overdue: int
    """Their receipt was not confirmed in time."""
    opt_out_overdue: int
    """The sale of data was not ended in time."""
    completed: int
    """Completed."""


_ANSWER: Final = "(r.received_day < CASE WHEN r.extended THEN CAST(? AS BIGINT) ELSE CAST(? AS BIGINT) END)"
_CONFIRMATION: Final = "(NOT r.acknowledged AND r.received_day < ?)"
# A voicemail that was not yet classified counts as an opt-out (PrivacyRequest.opt_out_due).
_OPT_OUT: Final = "(COALESCE(w.do_not_sell, c.do_not_sell, TRUE) AND r.received_day < ?)"
_OVERDUE: Final = f"(NOT r.completed AND ({_ANSWER} OR {_CONFIRMATION} OR {_OPT_OUT}))"
_DEADLINE: Final = f"""(r.received_day
    + CASE WHEN r.extended THEN {EXTENDED_DEADLINE_DAYS} ELSE {DEADLINE_DAYS} END)"""
_WHERE: Final = {
    Which.OPEN: "NOT r.completed",
    Which.OVERDUE: _OVERDUE,
    Which.COMPLETED: "r.completed",
}


async def due(reader: Reader, which: Which, cutoffs: Cutoffs, offset: int, limit: int) -> list[PrivacyRequest]:
    """Return one page of requests, the earliest deadline first (completed ones: the latest change first).

    At most ``limit``, and no more once :func:`storage.privacy.requests.is_full`.
    """
    found: list[PrivacyRequest] = []
    while len(found) < limit and not is_full(found):
        most = min(STEP_ROWS, limit - len(found))
        step = await _step(reader, which, cutoffs, offset + len(found), most)
        found += step
        if len(step) < most:
            break
    return found


async def _step(reader: Reader, which: Which, cutoffs: Cutoffs, offset: int, limit: int) -> list[PrivacyRequest]:
    order = "r.updated_at_ms DESC, r.id" if which is Which.COMPLETED else f"{_DEADLINE}, r.created_at_ms, r.id"
    values = _values(cutoffs) if which is Which.OVERDUE else ()
    rows = await reader.fetch(
        f"{SELECT} WHERE {_WHERE[which]} ORDER BY {order} LIMIT ? OFFSET ?", *values, limit, offset
    )
    return [kept_request(row).request for row in rows]


async def due_counts(reader: Reader, cutoffs: Cutoffs) -> DueCounts:
    """Return the number of requests of each kind."""
    late = (_OVERDUE, f"(NOT r.completed AND {_ANSWER})", f"(NOT r.completed AND {_CONFIRMATION})")
    tests = ("NOT r.completed", *late, f"(NOT r.completed AND {_OPT_OUT})", "r.completed")
    columns = ", ".join(f"COUNT(CASE WHEN {test} THEN 1 END)" for test in tests)
    answer, confirmation, opt_out = _values(cutoffs)[:2], cutoffs.confirmation, cutoffs.opt_out
    [row] = await reader.fetch(
        f"""SELECT {columns} FROM privacy_request r LEFT JOIN web_form_session w ON w.request_id = r.id
            LEFT JOIN call_session c ON c.request_id = r.id""",
        *_values(cutoffs),
        *answer,
        confirmation,
        opt_out,
    )
    return DueCounts(*map(int, row))


def _values(cutoffs: Cutoffs) -> tuple[int, int, int, int]:
    """Return the parameters in the order of ``_OVERDUE``."""
    return cutoffs.extended_answer, cutoffs.answer, cutoffs.confirmation, cutoffs.opt_out
