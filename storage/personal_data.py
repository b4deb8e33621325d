"""Which rows of the tables are about one person, and how they are read: page by page, in the order of a key.

Erasing a person and exporting their data share these lists (``server/services/operator/personal_data.py``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

from storage.bulk import marks
from storage.database import Reader, Value

PAGE_ROWS: Final = 200
"""Read at once: a row may have a text of some kilobytes."""


class PersonalTable(NamedTuple):
    """Rows of one table that are about a person (or about one of their privacy requests).

    ``kind`` is their name in an export. ``where`` has the person's id (or the request's) as each of its parameters;
    ``key`` are columns that make a row unique among these.
    """

    kind: str
    table: str
    where: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


_PERSON: Final = "person_id = ?"
_REQUEST: Final = "request_id = ?"

KEYS: Final = (
    PersonalTable("encryption", "encryption", _PERSON, ("person_id",), ("hash", "e2e_id", "updated_at_ms")),
    PersonalTable(
        "public_key",
        "public_key",
        _PERSON,
        ("id",),
        ("device_id", "algorithm", "public_key", "fingerprint", "updated_at_ms", "revoked_at_ms", "statement"),
    ),
)
CALLS: Final = (
    PersonalTable(
        "call",
        "incoming_call",
        _PERSON,
        ("id",),
        (
            *("called", "caller", "caller_id", "country_code", "phone_number", "verified", "trusted", "reason"),
            *("reasons", "certainty", "outcome", "call_time", "created_at_ms"),
        ),
    ),
    PersonalTable(
        "blocked_call",
        "blocked_call",
        _PERSON,
        ("id",),
        ("caller_id", "country_code", "phone_number", "created_at_ms"),
    ),
    PersonalTable("call_digest", "call_seen", _PERSON, ("key",), ("key", "at_ms")),
    PersonalTable("call_settings", "call_setting", _PERSON, ("person_id",), ("attestation",)),
)
DEVICES: Final = (
    PersonalTable(
        "device",
        "device",
        _PERSON,
        ("device_id",),
        ("device_id", "name", "client", "received_id", "added_at_ms", "seen_at_ms"),
    ),
    PersonalTable("receipts_off", "receipts_off", _PERSON, ("person_id",), ("person_id",)),
    PersonalTable(
        "push_registration",
        "push_registration",
        _PERSON,
        ("device_id", "kind"),
        (
            *("device_id", "kind", "address", "details", "wake_messages", "wake_reactions", "wake_calls"),
            *("registered_at_ms", "pushed_id", "pushed_at_ms", "answered_at_ms", "last_result", "call_id"),
        ),
    ),
)
DIRECTORY: Final = (
    PersonalTable(
        "person",
        "person",
        "id = ?",
        ("id",),
        (
            *("id", "first_name", "middle_name", "last_name", "avatar", "contact_update_at_ms"),
            *("trust_request_at_ms", "company_update_at_ms", "coworker_update_at_ms", "user_update_at_ms"),
            "key_update_at_ms",
        ),
    ),
    PersonalTable("number", "phone", "owner_kind = 'person' AND owner_id = ?", ("e164",), ("e164",)),
    PersonalTable("buzz_number", "buzz_number", _PERSON, ("id",), ("e164", "state", "changed_at_ms")),
    PersonalTable("membership", "member", _PERSON, ("company_id",), ("company_id",)),
    PersonalTable(
        "contact", "contact", _PERSON, ("id",), ("id", "first_name", "middle_name", "last_name", "avatar", "trusted")
    ),
    PersonalTable(
        "contact_number",
        "phone",
        "owner_kind = 'contact' AND person_id = ?",
        ("e164", "owner_id"),
        ("owner_id", "e164"),
    ),
    PersonalTable("trusted_company", "trusted_company", _PERSON, ("company_id",), ("company_id",)),
    PersonalTable(
        "trust_request",
        "trust_request",
        "(person_id = ? OR from_party = ?)",
        ("id",),
        ("id", "person_id", "from_party", "created_at_ms"),
    ),
)
IDEMPOTENCY_KEYS: Final = PersonalTable(
    "idempotency_key",
    "activity",
    "author = ? AND idempotency_key IS NOT NULL",
    ("idempotency_key",),
    ("id", "idempotency_key"),
)
OF_REQUEST: Final = (
    PersonalTable("recording_to_fetch", "recording_fetch", _REQUEST, ("request_id",), ("request_id", "recording_sid")),
    PersonalTable("copy_at_twilio", "twilio_copy", _REQUEST, ("sid",), ("request_id", "sid")),
    PersonalTable(
        "webhook_delivery",
        "webhook_delivery",
        f"{_REQUEST} AND answer <> ''",
        ("id",),
        ("id", "endpoint_id", "request_id", "event_name", "attempted_at_ms", "answer"),
    ),
    PersonalTable(
        "webhook_attempt",
        "webhook_attempt",
        "delivery_id IN (SELECT id FROM webhook_delivery WHERE request_id = ?) AND (answer <> '' OR payload <> '')",
        ("delivery_id", "number"),
        ("delivery_id", "number", "at_ms", "answer", "payload"),
    ),
)
"""What a privacy request has besides its fields and its recording."""


async def rows(reader: Reader, wanted: PersonalTable, owner: Value) -> AsyncIterator[dict[str, Any]]:
    """Yield the rows that are about a person (or a request) as columns and values, with the memory of one page."""
    key, columns = ", ".join(wanted.key), ", ".join(wanted.columns)
    select = f"SELECT {key}, {columns} FROM {wanted.table} WHERE {wanted.where}"
    owners = (owner,) * wanted.where.count("?")
    after: tuple[Value, ...] = ()
    while True:
        beyond = f" AND ({key}) > ({', '.join('?' * len(after))})" if after else ""
        page = await reader.fetch(f"{select}{beyond} ORDER BY {key} LIMIT {PAGE_ROWS}", *owners, *after)
        for row in page:
            yield dict(zip(wanted.columns, row[len(wanted.key) :], strict=True))
        if len(page) < PAGE_ROWS:
            return
        after = tuple(page[-1][: len(wanted.key)])


async def authored(reader: Reader, person_id: int, activity_ids: Sequence[int]) -> set[int]:
    """Return those of some activities that the person wrote: of calls that came in they are the receiver."""
    if not activity_ids:
        return set()
    sql = f"SELECT id FROM activity WHERE id IN ({marks(activity_ids)}) AND author = ?"
    return {activity_id for (activity_id,) in await reader.fetch(sql, *activity_ids, person_id)}
