"""The heartbeat's answer: when each of the app's lists last changed, and the person's own number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from protocol import phone
from protocol.activity import rfc3339


class LastTimes(NamedTuple):
    """The times of the last changes for one person, in milliseconds since 1970; None: never."""

    contact_update: int | None = None
    trust_request: int | None = None
    company_update: int | None = None
    coworker_update: int | None = None
    user_update: int | None = None
    key_update: int | None = None


@dataclass(frozen=True, slots=True)
class Number:
    """The person's Buzz number in two parts: ``country_code`` without ``+``, national ``number``."""

    country_code: str
    """The country code without `+`."""
    number: str
    """The national number."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When each list of the app last changed, the newest activity's id, and the number.

    The number is null while the person has none.

    ``last_company_update`` and ``last_company_updated`` are the same value under two names.
    ``last_key_update``: a public key of the person, or of somebody they have talked with, changed.
    """

    last_contact_update: str | None
    """When the contacts last changed; null: never."""
    last_trust_request: str | None
    """When somebody last asked for trust; null: never."""
    last_company_update: str | None
    """When the companies last changed; null: never."""
    last_company_updated: str | None
    """The same as `last_company_update`."""
    last_coworker_update: str | None
    """When the coworkers last changed; null: never."""
    last_user_update: str | None
    """When the caller's own entry last changed; null: never."""
    last_key_update: str | None
    """When a public key of the caller, or of somebody they have talked with, last changed; null: never."""
    last_activity_id: str
    """The id of the caller's newest activity, as text; `0` if there is none."""
    number: Number | None
    """The caller's Buzz number; null while the pool is empty."""


def heartbeat(times: LastTimes, last_activity_id: int, e164: str | None) -> Heartbeat:
    """Build the answer; ``last_activity_id`` is 0 if there is none."""
    return Heartbeat(
        last_contact_update=_shown(times.contact_update),
        last_trust_request=_shown(times.trust_request),
        last_company_update=_shown(times.company_update),
        last_company_updated=_shown(times.company_update),
        last_coworker_update=_shown(times.coworker_update),
        last_user_update=_shown(times.user_update),
        last_key_update=_shown(times.key_update),
        last_activity_id=str(last_activity_id),
        number=None if e164 is None else Number(*phone.split(e164)),
    )


def _shown(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else rfc3339(milliseconds)
