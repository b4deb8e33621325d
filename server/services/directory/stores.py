"""Calls the right store for each kind of object: numbers and service codes have their own."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.directory import Company, Identity, Kind, Number, Object, Person, ServiceCode
from storage.database import Reader, Transaction
from storage.directory import reads as directory_reads
from storage.directory import service_codes
from storage.directory import writes as directory_writes
from storage.directory.writes import ObjectChange
from storage.telephony import numbers


async def read(reader: Reader, kind: Kind, identities: Sequence[Identity]) -> dict[Identity, Object]:
    """Return those of these objects that exist."""
    if kind is Kind.NUMBER:
        found = await numbers.imported(reader, [str(key) for (key,) in identities])
        return {(key,): Number(line.e164, line.person_id) for key, line in found.items()}
    if kind is Kind.SERVICE_CODE:
        codes = [await service_codes.find(reader, str(code)) for (code,) in identities]
        return {(o.code.code,): ServiceCode(o.code.code, o.code.name, o.company_id) for o in codes if o is not None}
    return await directory_reads.read(reader, kind, identities)


async def write(transaction: Transaction, kind: Kind, changes: Sequence[ObjectChange], now_ms: int) -> None:
    """Write changes of one kind."""
    if kind is Kind.NUMBER:
        await _write_numbers(transaction, changes, now_ms)
    elif kind is Kind.SERVICE_CODE:
        await _write_codes(transaction, changes, now_ms)
    else:
        await directory_writes.write(transaction, kind, changes, now_ms)


async def remove_parties(transaction: Transaction, parties: Sequence[Object], now_ms: int) -> None:
    """Remove people and companies with all their objects: their Buzz numbers rest, their codes are deleted."""
    people = [found.id for found in parties if isinstance(found, Person)]
    companies = [found.id for found in parties if isinstance(found, Company)]
    await directory_writes.remove_parties(transaction, [*people, *(-company for company in companies)])
    if people:
        await numbers.release_many(transaction, people, now_ms)
    for company in companies:
        for owned in await service_codes.all_codes(transaction, company):
            await service_codes.remove(transaction, owned.code.code, now_ms)


def imported(found: Number) -> numbers.ImportedNumber:
    """Convert a ``number`` object to the form of the number store."""
    return numbers.ImportedNumber(found.number, found.person_id)


async def _write_numbers(transaction: Transaction, changes: Sequence[ObjectChange], now_ms: int) -> None:
    puts = [imported(change.after) for change in changes if isinstance(change.after, Number)]
    gone = [change.before.number for change in changes if change.after is None and isinstance(change.before, Number)]
    if gone:
        await numbers.remove_many(transaction, gone, now_ms)
    if puts:
        await numbers.put_many(transaction, puts, now_ms)


async def _write_codes(transaction: Transaction, changes: Sequence[ObjectChange], now_ms: int) -> None:
    for _, before, after in changes:
        if isinstance(after, ServiceCode):
            await service_codes.put(transaction, after.code, after.company_id, after.name, now_ms)
        elif isinstance(before, ServiceCode):
            await service_codes.remove(transaction, before.code, now_ms)
