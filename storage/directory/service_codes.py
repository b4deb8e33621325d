"""Service codes: the short codes by which consumers name the company they mean.

Functions take the transaction that they are part of: an import writes codes together with its other objects.
"""

from __future__ import annotations

from typing import NamedTuple

from protocol.privacy_request import ServiceCode
from storage.database import Reader, Transaction

_SELECT = "SELECT code, name, created_at_ms, updated_at_ms, company_id FROM service_code WHERE deleted_at_ms IS NULL"


class OwnedCode(NamedTuple):
    """A service code for which requests are accepted, and its company."""

    code: ServiceCode
    company_id: int


async def find(reader: Reader, code: str) -> OwnedCode | None:
    """Return the code, or None if there is none or it was deleted."""
    rows = await reader.fetch(f"{_SELECT} AND code = ?", code)
    return _owned(*rows[0]) if rows else None


async def all_codes(reader: Reader, company_id: int | None = None) -> list[OwnedCode]:
    """Return every code (of one company), by code."""
    if company_id is None:
        return [_owned(*row) for row in await reader.fetch(f"{_SELECT} ORDER BY code")]
    return [_owned(*row) for row in await reader.fetch(f"{_SELECT} AND company_id = ? ORDER BY code", company_id)]


async def listed(reader: Reader, after: str, limit: int) -> list[OwnedCode]:
    """Return the codes of all companies after a code, by code, at most ``limit``."""
    rows = await reader.fetch(f"{_SELECT} AND code > ? ORDER BY code LIMIT ?", after, limit)
    return [_owned(*row) for row in rows]


async def put(transaction: Transaction, code: str, company_id: int, name: str, now_ms: int) -> OwnedCode:
    """Create or change a code. If nothing differs, nothing is written and its times stay."""
    rows = await transaction.fetch(
        """INSERT INTO service_code (code, company_id, name, created_at_ms, updated_at_ms) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (code) DO UPDATE SET
               company_id = excluded.company_id,
               name = excluded.name,
               updated_at_ms = CASE
                   WHEN service_code.name = excluded.name AND service_code.company_id = excluded.company_id
                       AND service_code.deleted_at_ms IS NULL
                   THEN service_code.updated_at_ms ELSE excluded.updated_at_ms END,
               deleted_at_ms = NULL
           RETURNING code, name, created_at_ms, updated_at_ms, company_id""",
        code,
        company_id,
        name,
        now_ms,
        now_ms,
    )
    return _owned(*rows[0])


async def remove(transaction: Transaction, code: str, now_ms: int) -> bool:
    """Stop accepting requests for a code; False if there was none."""
    changed = await transaction.execute(
        "UPDATE service_code SET deleted_at_ms = ? WHERE code = ? AND deleted_at_ms IS NULL", now_ms, code
    )
    return changed > 0


def _owned(code: str, name: str, created_at_ms: int, updated_at_ms: int, company_id: int) -> OwnedCode:
    return OwnedCode(ServiceCode(code, name, created_at_ms, updated_at_ms), company_id)
