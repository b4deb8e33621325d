"""When devices were signed out, for what they store with a credential from before that.

Signing out runs in transactions of the same lane as those that call this: none of them can be under way.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from storage.bulk import in_chunks, marks
from storage.database import Transaction


class SignedOut(Exception):
    """The device was signed out after the credential was issued that its request has."""


async def signed_out_times(transaction: Transaction, people: Collection[int]) -> dict[tuple[int, str], int]:
    """Return for each of these people's devices that were signed out when that was (milliseconds), the last time."""
    found: dict[tuple[int, str], int] = {}
    for chunk in in_chunks(sorted(people)):
        rows = await transaction.fetch(_SIGNED_OUT.format(people=marks(chunk)), *chunk)
        found.update(((person, device), at_ms) for person, device, at_ms in rows)
    return found


async def refuse_signed_out(
    transaction: Transaction, person_id: int, device_id: str | None, issued_at_ms: int | None
) -> None:
    """Raise SignedOut if the device was signed out after its credential was issued; None: nothing is checked.

    Call it in the transaction that stores something for the device.
    """
    if device_id is None or issued_at_ms is None:
        return
    signed_out_at_ms = (await signed_out_times(transaction, [person_id])).get((person_id, device_id))
    if signed_out_at_ms is not None and issued_at_ms <= signed_out_at_ms:
        raise SignedOut


_SIGNED_OUT: Final = """
    SELECT person_id, device_id, MAX(revoked_at_ms) FROM revocation
    WHERE person_id IN ({people}) AND device_id IS NOT NULL GROUP BY person_id, device_id"""
