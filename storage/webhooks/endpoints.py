"""Webhook endpoints and sources: where a company's events are sent, and which services may send its events to us.

Both have keys, and both keep the previous keys after a rotation until ``previous_until_ms``. Deleting keeps the row,
because the log of deliveries and the requests refer to it, and blanks the keys.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from storage.database import Reader, Row, Transaction

MAX_LISTED: Final = 500
"""Endpoints or sources read at once."""

_COUNTER: Final = "UPDATE webhook_counter SET newest = newest + ? WHERE kind = ? RETURNING newest"


class EndpointKeys(NamedTuple):
    """The present keys and, until ``previous_until_ms``, the previous ones.

    ``secret`` is ``whsec_…`` (Standard Webhooks).
    """

    api_key: str
    secret: str | None
    previous_api_key: str | None = None
    previous_secret: str | None = None
    previous_until_ms: int | None = None

    def api_keys(self, now_ms: int) -> list[str]:
        """Return the API keys that are valid now, the newest first."""
        return [key for key in (self.api_key, self._previous(self.previous_api_key, now_ms)) if key]

    def secrets(self, now_ms: int) -> list[str]:
        """Return the secrets that are valid now, the newest first."""
        return [secret for secret in (self.secret, self._previous(self.previous_secret, now_ms)) if secret]

    def _previous(self, value: str | None, now_ms: int) -> str | None:
        return value if self.previous_until_ms is not None and now_ms < self.previous_until_ms else None


class RecordingForm(StrEnum):
    """How an endpoint gets recordings: their bytes in one event, or a link in each event."""

    INLINE = "inline"
    LINK = "link"


class Endpoint(NamedTuple):
    """Where to send a company's events. ``format``: ``multipart`` or ``json``. Not enabled: events wait."""

    id: int
    company_id: int
    url: str
    format: str
    enabled: bool
    keys: EndpointKeys
    created_at_ms: int
    updated_at_ms: int
    recording: RecordingForm = RecordingForm.INLINE


class Source(NamedTuple):
    """Another service that sends a company's events to us."""

    id: int
    company_id: int
    keys: EndpointKeys
    created_at_ms: int
    updated_at_ms: int


_KEYS: Final = "api_key, secret, previous_api_key, previous_secret, previous_until_ms"
_ENDPOINT: Final = f"""SELECT id, company_id, url, format, enabled, created_at_ms, updated_at_ms, recording,
    {_KEYS} FROM webhook_endpoint WHERE deleted_at_ms IS NULL"""
_SOURCE: Final = f"""SELECT id, company_id, created_at_ms, updated_at_ms, {_KEYS}
    FROM webhook_source WHERE deleted_at_ms IS NULL"""


async def next_ids(transaction: Transaction, kind: str, count: int = 1) -> range:
    """Assign ``count`` ids for ``endpoint``, ``source`` or ``delivery``; returns their range."""
    ((newest,),) = await transaction.fetch(_COUNTER, count, kind)
    return range(newest - count + 1, newest + 1)


async def add_endpoint(
    transaction: Transaction,
    company_id: int,
    url: str,
    body_format: str,
    keys: EndpointKeys,
    now_ms: int,
    recording: RecordingForm = RecordingForm.INLINE,
) -> Endpoint:
    """Create an endpoint, enabled."""
    (endpoint_id,) = await next_ids(transaction, "endpoint")
    await transaction.execute(
        """INSERT INTO webhook_endpoint (
               id, company_id, url, format, enabled, api_key, secret, created_at_ms, updated_at_ms, recording
           ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        endpoint_id,
        company_id,
        url,
        body_format,
        True,
        keys.api_key,
        keys.secret,
        now_ms,
        now_ms,
        recording.value,
    )
    return Endpoint(endpoint_id, company_id, url, body_format, True, keys, now_ms, now_ms, recording)


async def endpoint(reader: Reader, endpoint_id: int) -> Endpoint | None:
    """Return the endpoint, or None if there is none or it was deleted."""
    rows = await reader.fetch(f"{_ENDPOINT} AND id = ?", endpoint_id)
    return _endpoint(rows[0]) if rows else None


async def hold_endpoint(transaction: Transaction, endpoint_id: int) -> Endpoint | None:
    """Lock an endpoint until the transaction ends and return it; None if there is none.

    An endpoint that is read here and saved in the same transaction can't undo a concurrent change.
    """
    locked = await transaction.execute("UPDATE webhook_endpoint SET enabled = enabled WHERE id = ?", endpoint_id)
    return await endpoint(transaction, endpoint_id) if locked else None


async def endpoints(
    reader: Reader, company_id: int | None = None, after_id: int = 0, limit: int = MAX_LISTED
) -> list[Endpoint]:
    """Return the endpoints (of one company) after an id, by id, at most ``limit``."""
    of_company = "" if company_id is None else "AND company_id = ?"
    companies = () if company_id is None else (company_id,)
    sql = f"{_ENDPOINT} AND id > ? {of_company} ORDER BY id LIMIT ?"
    return [_endpoint(row) for row in await reader.fetch(sql, after_id, *companies, limit)]


async def endpoint_ids(reader: Reader, company_id: int) -> list[int]:
    """Return the ids of a company's endpoints, including those that are not enabled."""
    rows = await reader.fetch(
        "SELECT id FROM webhook_endpoint WHERE company_id = ? AND deleted_at_ms IS NULL ORDER BY id", company_id
    )
    return [endpoint_id for (endpoint_id,) in rows]


async def save_endpoint(transaction: Transaction, changed: Endpoint) -> None:
    """Store a changed endpoint. It must have been held by the same transaction."""
    await transaction.execute(
        """UPDATE webhook_endpoint SET url = ?, format = ?, recording = ?, enabled = ?, api_key = ?, secret = ?,
               previous_api_key = ?, previous_secret = ?, previous_until_ms = ?, updated_at_ms = ?
           WHERE id = ? AND deleted_at_ms IS NULL""",
        changed.url,
        changed.format,
        changed.recording.value,
        changed.enabled,
        *changed.keys,
        changed.updated_at_ms,
        changed.id,
    )


async def delete_endpoint(transaction: Transaction, endpoint_id: int, now_ms: int) -> bool:
    """Delete an endpoint and cancel its waiting and failed deliveries. False if there was none."""
    await transaction.execute("DELETE FROM webhook_lane WHERE endpoint_id = ?", endpoint_id)
    for status in ("pending", "failed"):
        # One status at a time, written out: each has its own partial index.
        await transaction.execute(
            f"""UPDATE webhook_delivery SET status = 'cancelled', next_attempt_at_ms = NULL, finished_at_ms = ?
                WHERE endpoint_id = ? AND status = '{status}'""",
            now_ms,
            endpoint_id,
        )
    rows = await transaction.execute(
        """UPDATE webhook_endpoint SET deleted_at_ms = ?, api_key = '', secret = '', previous_api_key = NULL,
               previous_secret = NULL WHERE id = ? AND deleted_at_ms IS NULL""",
        now_ms,
        endpoint_id,
    )
    return rows > 0


async def add_source(transaction: Transaction, company_id: int, keys: EndpointKeys, now_ms: int) -> Source:
    """Create a source."""
    (source_id,) = await next_ids(transaction, "source")
    await transaction.execute(
        """INSERT INTO webhook_source (id, company_id, api_key, secret, created_at_ms, updated_at_ms)
           VALUES (?, ?, ?, ?, ?, ?)""",
        source_id,
        company_id,
        keys.api_key,
        keys.secret,
        now_ms,
        now_ms,
    )
    return Source(source_id, company_id, keys, now_ms, now_ms)


async def source(reader: Reader, source_id: int) -> Source | None:
    """Return the source, or None if there is none or it was deleted."""
    rows = await reader.fetch(f"{_SOURCE} AND id = ?", source_id)
    return _source(rows[0]) if rows else None


async def hold_source(transaction: Transaction, source_id: int) -> Source | None:
    """Lock a source until the transaction ends and return it; None if there is none."""
    locked = await transaction.execute("UPDATE webhook_source SET api_key = api_key WHERE id = ?", source_id)
    return await source(transaction, source_id) if locked else None


async def sources(reader: Reader, after_id: int = 0, limit: int = MAX_LISTED) -> list[Source]:
    """Return the sources after an id, by id, at most ``limit``."""
    return [_source(row) for row in await reader.fetch(f"{_SOURCE} AND id > ? ORDER BY id LIMIT ?", after_id, limit)]


async def save_source(transaction: Transaction, changed: Source) -> None:
    """Store a source's changed keys. It must have been held by the same transaction."""
    await transaction.execute(
        """UPDATE webhook_source SET api_key = ?, secret = ?, previous_api_key = ?, previous_secret = ?,
               previous_until_ms = ?, updated_at_ms = ? WHERE id = ? AND deleted_at_ms IS NULL""",
        *changed.keys,
        changed.updated_at_ms,
        changed.id,
    )


async def delete_source(transaction: Transaction, source_id: int, now_ms: int) -> bool:
    """Delete a source, so that its events are refused; False if there was none."""
    rows = await transaction.execute(
        """UPDATE webhook_source SET deleted_at_ms = ?, api_key = '', secret = NULL, previous_api_key = NULL,
               previous_secret = NULL WHERE id = ? AND deleted_at_ms IS NULL""",
        now_ms,
        source_id,
    )
    return rows > 0


async def remember_token(transaction: Transaction, source_id: int, random_token: str, now_ms: int) -> bool:
    """Store a source's random token; False if it was seen before."""
    rows = await transaction.execute(
        """INSERT INTO webhook_token (source_id, random_token, seen_at_ms) VALUES (?, ?, ?)
           ON CONFLICT (source_id, random_token) DO NOTHING""",
        source_id,
        random_token,
        now_ms,
    )
    return rows > 0


async def forget_tokens(transaction: Transaction, seen_before_ms: int) -> int:
    """Delete the tokens seen before that; returns how many."""
    return await transaction.execute("DELETE FROM webhook_token WHERE seen_at_ms < ?", seen_before_ms)


def _endpoint(row: Row) -> Endpoint:
    endpoint_id, company_id, url, body_format, enabled, created_at_ms, updated_at_ms, recording, *keys = row
    return Endpoint(
        endpoint_id,
        company_id,
        url,
        body_format,
        bool(enabled),
        EndpointKeys(*keys),
        created_at_ms,
        updated_at_ms,
        RecordingForm(recording),
    )


def _source(row: Row) -> Source:
    source_id, company_id, created_at_ms, updated_at_ms, *keys = row
    return Source(source_id, company_id, EndpointKeys(*keys), created_at_ms, updated_at_ms)
