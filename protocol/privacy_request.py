"""Privacy requests: a consumer's request to a company, its state, and the legal deadlines from its arrival.

Times are milliseconds since 1970, UTC. Deadlines are days counted from the day of arrival (``received_on``).
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from protocol.us_states import STATE_ZONES, UNKNOWN_STATE

DEADLINE_DAYS: Final = 45
EXTENDED_DEADLINE_DAYS: Final = 90
"""California Civil Code 1798.130(a)(2): 45 days from receipt, once extended by 45 more."""

CONFIRMATION_BUSINESS_DAYS: Final = 10
"""California Code of Regulations, title 11, 7021(a): receipt is confirmed within 10 business days."""

OPT_OUT_BUSINESS_DAYS: Final = 15
"""California Code of Regulations, title 11, 7026(f): an opt-out of sale is done within 15 business days."""

MIN_RETENTION_MONTHS: Final = 24
"""California Code of Regulations, title 11, 7101(a): records of requests and responses are kept for 24 months."""

MAX_RECORDING_BYTES: Final = 2_621_440
"""2.5 MiB: 119 seconds at 176 kbit/s, and in base64 still within the 4 MiB that a receiver takes."""


class RequestType(StrEnum):
    """How a request arrived."""

    WEB_FORM = "WebForm"
    VOICEMAIL = "Voicemail"


class Progress(StrEnum):
    """The progress of a recording or a transcription: ``""`` until Twilio reports one. ``completed`` is final."""

    NONE = ""
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ServiceCode:
    """The short code by which consumers name the company they mean."""

    code: str
    name: str
    created_at_ms: int
    updated_at_ms: int


@dataclass(frozen=True, slots=True)
class State:
    """What the company has done about a request."""

    acknowledged: bool = False
    extended: bool = False
    completed: bool = False


@dataclass(frozen=True, slots=True)
class WebFormSession:
    """What a consumer wrote into the web form. All text is "" where it was left out or erased.

    ``suspected_spam``: a field that people do not see was filled in, by a spam program or by a password manager.
    """

    id: str
    created_at_ms: int
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    state: str = ""
    requester_type: str = ""
    tell_me: bool = False
    delete_me: bool = False
    do_not_sell: bool = False
    send_me: bool = False
    other: str = ""
    remote_ip: str = ""
    suspected_spam: bool = False


@dataclass(frozen=True, slots=True)
class CallSession:
    """One call to the privacy line. The recording's bytes are stored separately (they are large and sent once).

    ``do_not_sell``: whether the caller asks for an end of the sale of their data; None until the company says so.
    """

    created_at_ms: int
    ended_at_ms: int | None = None
    caller_id: str = ""
    caller_name: str = ""
    caller_state: str = ""
    recording_status: Progress = Progress.NONE
    transcription_status: Progress = Progress.NONE
    transcription_text: str = ""
    do_not_sell: bool | None = None


@dataclass(frozen=True, slots=True)
class PrivacyRequest:
    """One request in its present state. Exactly one of the two sessions is set, according to its type.

    ``erased_at_ms``: when the personal fields and the recording were erased, or None.
    """

    id: str
    company_id: int
    type: RequestType
    state: State
    created_at_ms: int
    updated_at_ms: int
    service_code: ServiceCode
    web_form_session: WebFormSession | None = None
    call_session: CallSession | None = None
    erased_at_ms: int | None = None

    @property
    def received_on(self) -> date:
        """The day of arrival, from which the deadlines count."""
        form, call = self.web_form_session, self.call_session
        return received_on(self.created_at_ms, form.state if form else call.caller_state if call else "")

    @property
    def deadline(self) -> date:
        """The day by which the company must have answered."""
        return deadline(self.received_on, extended=self.state.extended)

    @property
    def confirmation_due(self) -> date:
        """The day by which the company must have confirmed that it has the request."""
        return add_business_days(self.received_on, CONFIRMATION_BUSINESS_DAYS)

    @property
    def opt_out_due(self) -> date | None:
        """The day by which the sale of data must have ended, or None if that is not asked for.

        It is not known what a voicemail asks for until somebody has listened to it. This date applies until the company
        records that the voicemail asks for something else.
        """
        if self.web_form_session is not None:
            asked = self.web_form_session.do_not_sell
        else:
            asked = self.call_session is not None and self.call_session.do_not_sell is not False
        return add_business_days(self.received_on, OPT_OUT_BUSINESS_DAYS) if asked else None


def utc_date(at_ms: int) -> date:
    """Return the UTC date of a time."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).date()


def received_on(at_ms: int, state: str) -> date:
    """Return the date of a time in UTC or in the consumer's state, whichever is earlier.

    A deadline counted from it may be a day early but never late. ``state``: a postal code; for any other text
    California's time zone is used.
    """
    zone = ZoneInfo(STATE_ZONES.get(state.upper(), STATE_ZONES[UNKNOWN_STATE]))
    return min(utc_date(at_ms), datetime.fromtimestamp(at_ms // 1000, zone).date())


def deadline(received: date, *, extended: bool) -> date:
    """Return the date 45 calendar days after the day of arrival, 90 in all once extended."""
    return received + timedelta(days=EXTENDED_DEADLINE_DAYS if extended else DEADLINE_DAYS)


def months_before(at_ms: int, months: int) -> int:
    """Return the same time that many calendar months earlier; in a month without that day, on its last day."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    year, month = divmod(moment.year * 12 + moment.month - 1 - months, 12)
    day = min(moment.day, monthrange(year, month + 1)[1])
    return int(moment.replace(year=year, month=month + 1, day=day).timestamp()) * 1000


def add_business_days(start: date, days: int) -> date:
    """Return the date that many business days later, without Saturdays and Sundays.

    Public holidays count as business days here, so the date may be early by some holidays, but never late.
    """
    weeks, rest = divmod(days, 5)
    working = start if start.weekday() < 5 else start - timedelta(days=start.weekday() - 4)
    weekend = 2 if working.weekday() + rest > 4 else 0
    return working + timedelta(weeks=weeks, days=rest + weekend)


def in_time_since(today: date, business_days: int) -> date:
    """Return the first arrival date that is still in time today, with that many business days from arrival.

    Requests that arrived before are late. It is the inverse of ``add_business_days``.
    """
    day = today
    while add_business_days(day - timedelta(days=1), business_days) >= today:
        day -= timedelta(days=1)
    return day
