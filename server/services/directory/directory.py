"""The directory's rules: changes of one object or millions, all or nothing, with events to the people concerned.

A change is planned first, from committed rows and without locks: the plan has only what differs from the stored
objects. Only that is written, in one transaction; then the caches are cleared and the events are sent. So repeating an
import writes nothing, changes no times and sends no events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import structlog

from protocol.activity import Party, rfc3339
from protocol.directory import Company, Entry, Kind, Object, Removed
from protocol.directory_lines import parse_object
from protocol.errors import ApiError, ErrorCode
from protocol.events import EventName
from server.live.events import Events
from server.live.parties import Parties
from server.services.directory import stores as directory_stores
from server.services.directory.effects import Effects, list_names
from server.services.directory.importing import LineConflict, LineEntry, check, refuse_ahead
from server.services.directory.plan import ImportReport, Plan, plan
from server.services.directory.spool import Spool
from server.services.directory.survey import Survey
from storage.database import Database, Lane, Transaction
from storage.directory import changes as directory_changes
from storage.directory import reads as directory_reads
from storage.directory import writes as directory_writes
from storage.directory.changes import DirectoryChange
from storage.directory.writes import ObjectChange
from storage.errors import StorageConflict, StorageError

_PARTIES_A_PUBLISH = 1_000
_logger = structlog.get_logger("directory")


class Directory:
    """Reads and changes the directory. One change at a time on this node; raises StorageUnavailable.

    ``relay`` is called after the commit of each change, so that the other nodes read it at once. ``spool_folder``:
    where an import's temporary files go (None: the system's folder for them).
    """

    def __init__(
        self,
        database: Database,
        parties: Parties,
        events: Events,
        now_ms: Callable[[], int],
        *,
        relay: Callable[[DirectoryChange], None] = lambda change: None,
        spool_folder: Path | None = None,
    ) -> None:
        self._database = database
        self._parties = parties
        self._events = events
        self._now_ms = now_ms
        self._relay = relay
        self._spool_folder = spool_folder
        self._changing = asyncio.Lock()

    async def find(self, kind: Kind, path: tuple[str, ...]) -> Object:
        """Return the object that an admin path names. Raises ApiError: not_found, bad_request."""
        identity = parse_object(kind, path, {"deleted": True}).identity
        found = await directory_stores.read(self._database, kind, [identity])
        if identity not in found:
            raise ApiError(ErrorCode.NOT_FOUND)
        return found[identity]

    async def is_empty(self) -> bool:
        """Return whether the directory has no person or company."""
        return not await directory_reads.anybody(self._database)

    async def put(self, kind: Kind, path: tuple[str, ...], body: Mapping[str, Any]) -> tuple[Object | None, bool]:
        """Store one object as in the body; returns the object, and whether it has changed.

        Raises ApiError: bad_request, not_found, conflict (it refers to a party that does not exist).
        """
        entry = parse_object(kind, path, body)
        refuse_ahead(entry, self._now_ms())
        report = await self._change_one(entry)
        if isinstance(entry, Removed):
            return None, report.changed > 0
        # A number for the pool may be assigned by now, and stays assigned.
        now = await directory_stores.read(self._database, kind, [entry.identity]) if kind is Kind.NUMBER else {}
        return now.get(entry.identity, entry), report.changed > 0

    async def remove(self, kind: Kind, path: tuple[str, ...]) -> None:
        """Remove one object. Raises ApiError: not_found, bad_request."""
        report = await self._change_one(parse_object(kind, path, {"deleted": True}))
        if not report.changed:
            raise ApiError(ErrorCode.NOT_FOUND)

    async def import_lines(
        self, stream: AsyncIterator[bytes], dry_run: bool = False, deletions: bool = True
    ) -> ImportReport:
        """Apply a stream of NDJSON, all of it or nothing. ``dry_run``: report what would change, and change nothing.

        Raises ApiError: bad_request that names the wrong lines, too_large, or conflict if it would remove something and
        ``deletions`` is false.
        """
        async with Spool[LineEntry](LineEntry, self._spool_folder) as entries:
            survey = await check(stream, entries, self._now_ms())
            try:
                return await self._carry_out(survey, entries, dry_run, deletions)
            except LineConflict as conflict:
                raise ApiError(ErrorCode.BAD_REQUEST, f"Nothing was imported. {conflict}") from conflict

    async def _change_one(self, entry: Entry) -> ImportReport:
        survey = Survey()
        survey.take(1, entry)
        async with Spool[LineEntry](LineEntry) as entries:
            await entries.add([(1, entry)])
            try:
                return await self._carry_out(survey, entries, dry_run=False)
            except LineConflict as conflict:
                raise ApiError(conflict.code, f"{conflict.reason}.") from conflict

    async def _carry_out(
        self, survey: Survey, entries: Spool[LineEntry], dry_run: bool, deletions: bool = True
    ) -> ImportReport:
        async with self._changing, Spool[ObjectChange](ObjectChange, self._spool_folder) as changes:
            planned = await plan(self._database, survey, entries, changes)
            if dry_run or not planned.report.changed:
                return planned.report
            if planned.report.removed and not deletions:
                raise _removes(planned.report)
            effects = await self._apply(planned, changes)
        await self._spread(effects.change())
        await self._tell(effects)
        return planned.report

    async def _apply(self, planned: Plan, changes: Spool[ObjectChange]) -> Effects:
        now_ms = self._now_ms()
        effects = Effects()
        try:
            async with self._database.transaction(Lane.DIRECTORY) as transaction:
                await _remove(transaction, planned.gone, effects, now_ms)
                async for chunk in changes.read():
                    await _write(transaction, chunk, effects, now_ms)
                await effects.spread(transaction)
                for times, people in effects.times(now_ms):
                    await directory_writes.touch(transaction, times, people, now_ms)
                await directory_changes.record(transaction, effects.change(), now_ms)
        except StorageConflict as error:
            raise ApiError(
                ErrorCode.CONFLICT, "Conflict: another request changed the same object; send yours again."
            ) from error
        return effects

    async def _spread(self, change: DirectoryChange) -> None:
        """Clear what is stale on this node and the others. If this fails, their next poll does it."""
        try:
            await self._parties.poll()
        except StorageError as error:
            _logger.warning("a change of the directory takes effect with the next poll", reason=str(error))
        self._relay(change)

    async def _tell(self, effects: Effects) -> None:
        """Send one event to each person, for all their changes; new requests for trust one by one."""
        together: dict[int, list[int]] = {}
        for person, lists in effects.concerned.items():
            together.setdefault(lists, []).append(person)
        for lists, people in together.items():
            for start in range(0, len(people), _PARTIES_A_PUBLISH):
                some = people[start : start + _PARTIES_A_PUBLISH]
                self._events.publish(some, EventName.DIRECTORY_CHANGED, {"changed": list_names(lists)})
                await asyncio.sleep(0)
        for request in effects.requests:
            asked_by = Party.of_key(request.from_party)
            data = {
                "id": request.id,
                "from": {"type": asked_by.type.value, "id": asked_by.id},
                "created_at": rfc3339(request.created_at_ms),
            }
            self._events.publish([request.person_id], EventName.TRUST_REQUESTED, data)


def _removes(report: ImportReport) -> ApiError:
    what = ", ".join(f"{count} {kind}" for kind, count in report.removed.items())
    return ApiError(ErrorCode.CONFLICT, f"Conflict: Nothing was imported: it removes {what}. Pass --yes to allow this.")


async def _remove(transaction: Transaction, gone: Sequence[Object], effects: Effects, now_ms: int) -> None:
    if not gone:
        return
    for found in gone:
        effects.note_removed_party(found)
    await effects.spread_removal(transaction, [found.id for found in gone if isinstance(found, Company)])
    await directory_stores.remove_parties(transaction, gone, now_ms)


async def _write(transaction: Transaction, chunk: list[ObjectChange], effects: Effects, now_ms: int) -> None:
    by_kind = attrgetter("kind")
    for kind, some in groupby(sorted(chunk, key=by_kind), key=by_kind):
        await directory_stores.write(transaction, kind, list(some), now_ms)
    for change in chunk:
        effects.note(change)
