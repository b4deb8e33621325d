"""Plans a change of the directory: compares what it asks for with what is stored.

It reads committed rows and writes nothing. Unchanged objects are left out, so that an import of a whole directory
writes only what has changed since the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeGuard, TypeVar

from protocol.activity import Party
from protocol.directory import Company, Entry, Kind, Number, Object, Person, Removed
from protocol.errors import ErrorCode
from protocol.match_key import match_key
from protocol.validation import MAX_NEW_ID
from server.services.directory import stores as directory_stores
from server.services.directory.importing import LineConflict, LineEntry
from server.services.directory.spool import Spool
from server.services.directory.survey import Survey
from storage.database import Database
from storage.directory import reads as directory_reads
from storage.directory.writes import ObjectChange
from storage.telephony import numbers

E = TypeVar("E", bound=Entry)


@dataclass(slots=True)
class ImportReport:
    """The changes that were (or would be) made: lines read, and by kind how many objects were put and removed.

    ``warnings``: how many contacts' numbers were left out as not callable; ``warned`` names the first lines.
    """

    lines: int = 0
    put: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    warnings: int = 0
    warned: list[str] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """Return how many objects differ from what was stored."""
        return sum(self.put.values()) + sum(self.removed.values())

    def count(self, change: ObjectChange) -> None:
        counts = self.removed if change.after is None else self.put
        counts[change.kind.value] = counts.get(change.kind.value, 0) + 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned change. ``gone``: the parties that are removed first, with all their objects. The rest is spooled."""

    report: ImportReport
    gone: list[Person | Company]


async def plan(database: Database, survey: Survey, entries: Spool[LineEntry], changes: Spool[ObjectChange]) -> Plan:
    """Compare with what is stored, and spool what differs.

    Raises LineConflict for a line that refers to an unknown party, has another party's number, or a new id that is too
    large.
    """
    await _check_needed(database, survey)
    report = ImportReport(lines=survey.lines, warnings=survey.dropped_numbers, warned=survey.warned)
    gone = await _removed_parties(database, survey)
    for found in gone:
        report.count(ObjectChange(found.kind, found, None))
    gone_keys = frozenset(found.key for found in gone)
    async for chunk in entries.read():
        differing = await _differing(database, survey, chunk, gone_keys)
        for change in differing:
            report.count(change)
        if differing:
            await changes.add(differing)
    return Plan(report, gone)


async def _check_needed(database: Database, survey: Survey) -> None:
    there = await directory_reads.existing(database, [key for key in survey.needed if not survey.is_gone(key)])
    absent = [(line, key) for key, line in survey.needed.items() if key not in there]
    if absent:
        line, key = min(absent)
        party = Party.of_key(key)
        raise LineConflict(line, f"there is no {party.type.value} {party.id} in the directory")


async def _removed_parties(database: Database, survey: Survey) -> list[Person | Company]:
    found: list[Object] = []
    for kind, keys in (
        (Kind.PERSON, [key for key in survey.deleted if key > 0]),
        (Kind.COMPANY, [-key for key in survey.deleted if key < 0]),
    ):
        found += (await directory_stores.read(database, kind, [(each,) for each in keys])).values()
    return [each for each in found if isinstance(each, Person | Company)]


async def _differing(
    database: Database, survey: Survey, chunk: Sequence[LineEntry], gone_keys: AbstractSet[int]
) -> list[ObjectChange]:
    counting = chunk if survey.all_stand else list(_standing(survey, chunk))
    found: list[ObjectChange] = []
    for kind, entries in _by_kind(entry for _, entry in counting):
        identities = [entry.identity for entry in entries]
        current = await directory_stores.read(database, kind, identities)
        for identity, entry in zip(identities, entries, strict=True):
            before = current.get(identity)
            if before is not None and not gone_keys.isdisjoint(before.goes_with):
                before = None  # it is removed together with a party, before the changes are written
            after = None if isinstance(entry, Removed) else entry
            if before != after:
                found.append(ObjectChange(kind, before, after))
    found = await _without_known_numbers(database, found)
    await _check_numbers(database, counting, found)
    _check_new_ids(counting, found)
    return found


async def _without_known_numbers(database: Database, changes: list[ObjectChange]) -> list[ObjectChange]:
    """Leave out lines for the pool whose number exists: an assigned or resting number stays unchanged."""
    pool = {match_key(change.after.number) for change in changes if _is_for_pool(change.after)}
    known = await numbers.known(database, list(pool)) if pool else set()
    return [each for each in changes if not (_is_for_pool(each.after) and match_key(each.after.number) in known)]


def _is_for_pool(found: Object | None) -> TypeGuard[Number]:
    return isinstance(found, Number) and found.person_id is None


def _standing(survey: Survey, chunk: Sequence[LineEntry]) -> Iterator[LineEntry]:
    for line, entry in chunk:
        left = survey.standing(line, entry)
        if left is not None:
            yield (line, left)


def _by_kind(entries: Iterable[E]) -> Iterator[tuple[Kind, list[E]]]:
    found: dict[Kind, list[E]] = {}
    for entry in entries:
        found.setdefault(entry.kind, []).append(entry)
    yield from found.items()


def _check_new_ids(chunk: Sequence[LineEntry], changes: Sequence[ObjectChange]) -> None:
    """Check that new objects have no id that is too large; existing ones may be changed and removed."""
    for _, before, after in changes:
        known = before.brings.values() if before is not None else ()
        for name, id in after.brings.items() if after is not None else ():
            if id > MAX_NEW_ID and id not in known:
                line = next(number for number, entry in chunk if entry is after)
                raise LineConflict(line, _too_large(name), ErrorCode.BAD_REQUEST)


def _too_large(name: str) -> str:
    return (
        f"Invalid parameter: '{name}': a new id should be at most {MAX_NEW_ID} (2^53 - 1), as JSON clients round more"
    )


async def _check_numbers(database: Database, chunk: Sequence[LineEntry], changes: Sequence[ObjectChange]) -> None:
    given = [directory_stores.imported(change.after) for change in changes if isinstance(change.after, Number)]
    wrong = await numbers.conflicts(database, given) if given else {}
    for line, entry in chunk:
        if wrong and isinstance(entry, Number) and entry.number in wrong:
            raise LineConflict(line, wrong[entry.number])
