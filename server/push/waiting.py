"""Reads from the log what waits for devices: the newest activity that wakes, unread and not the person's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from protocol.activity import Activity, ActivityType
from server.push.rules import News, Waiting, may_be_own, wakes
from server.runtime.turns import Turns
from storage.contract import ActivityLog, Range
from storage.database import Database
from storage.personal_data import authored
from storage.push.reads import companies_of, read_up_to
from storage.push.registrations import Registration

PAGE_ROWS: Final = 20
PAGE_BYTES: Final = 32 * 1024
MAX_PAGES: Final = 50
"""So many pages are read for one person; older activities wake nobody."""
_PEOPLE_AT_ONCE: Final = 64
_READ: Final = ActivityType.chat_read_indicator
NONE: Final = News()

Key = tuple[int, str, str]


class WaitingReader:
    """Reads for many people in few steps. Raises StorageError."""

    def __init__(self, database: Database, log: ActivityLog) -> None:
        self._database = database
        self._log = log

    async def newest(self, registrations: Collection[Registration]) -> dict[Key, News]:
        """Return what each registration's device has not confirmed; those without any news are left out."""
        by_person: dict[int, list[Registration]] = defaultdict(list)
        for each in registrations:
            by_person[each.person_id].append(each)
        found: dict[Key, News] = {}
        people, turns = sorted(by_person), Turns()
        for start in range(0, len(people), _PEOPLE_AT_ONCE):
            some = {person: by_person[person] for person in people[start : start + _PEOPLE_AT_ONCE]}
            await self._of_some(some, found)
            await turns.give()
        return found

    async def _of_some(self, wanted: Mapping[int, list[Registration]], found: dict[Key, News]) -> None:
        companies = await companies_of(self._database, list(wanted))
        parties = {person: (person, *companies.get(person, ())) for person in wanted}
        ranges = {
            person: Range(
                parties[person],
                after=min(each.received_id for each in registrations),
                limit=PAGE_ROWS,
                newest_first=True,
                max_bytes=PAGE_BYTES,
            )
            for person, registrations in wanted.items()
        }
        for _ in range(MAX_PAGES):
            pages = dict(zip(ranges, await self._log.read(list(ranges.values())), strict=True))
            rows = {person: page.rows for person, page in pages.items()}
            await self._take(wanted, parties, rows, found)
            ranges = {
                person: ranges[person].beyond(page.rows[-1].id)
                for person, page in pages.items()
                if page.more and page.rows and any(found.get(each.key, NONE).waiting is None for each in wanted[person])
            }
            if not ranges:
                return

    async def _take(
        self,
        wanted: Mapping[int, list[Registration]],
        parties: Mapping[int, tuple[int, ...]],
        rows: Mapping[int, Sequence[Activity]],
        found: dict[Key, News],
    ) -> None:
        candidates = {
            person: [row for row in rows[person] if row.sender != person and any(wakes(r, row) for r in wanted[person])]
            for person in rows
        }
        read = await read_up_to(
            self._database,
            {pair for person, some in candidates.items() for pair in _pairs(parties[person], some)},
        )
        for person, some in candidates.items():
            self._keep_reads(wanted[person], parties[person], rows[person], found)
            unread = [row for row in some if row.id > read.get(_sides(parties[person], row), 0)]
            own = await authored(self._database, person, [row.id for row in unread if may_be_own(row, person)])
            for row in unread:
                if row.id not in own:
                    self._keep(wanted[person], row, found)

    @staticmethod
    def _keep(registrations: Iterable[Registration], row: Activity, found: dict[Key, News]) -> None:
        for each in registrations:
            before = found.get(each.key, NONE)
            if before.waiting is None and row.id > each.received_id and wakes(each, row):
                found[each.key] = before._replace(waiting=Waiting(row.id, row.created_at_ms))

    @staticmethod
    def _keep_reads(
        registrations: Iterable[Registration],
        mine: tuple[int, ...],
        rows: Iterable[Activity],
        found: dict[Key, News],
    ) -> None:
        newest = max((row.id for row in rows if row.type == _READ and row.sender in mine), default=0)
        for each in registrations:
            if newest > each.received_id:
                found[each.key] = found.get(each.key, NONE)._replace(was_read=True)


def _sides(mine: tuple[int, ...], row: Activity) -> tuple[int, int]:
    """Return the person's side of an activity, and the other one."""
    return (row.receiver, row.sender) if row.receiver in mine else (row.sender, row.receiver)


def _pairs(mine: tuple[int, ...], rows: Iterable[Activity]) -> set[tuple[int, int]]:
    return {_sides(mine, row) for row in rows}
