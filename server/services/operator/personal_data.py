"""One person's data by subject: what is stored, as lines of an export, and how it is erased.

Erasing and exporting go through the same list of subjects, so that an export has what an erasure would take away.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from protocol.activity import ActivityType, Party, rfc3339
from protocol.directory import Kind
from protocol.errors import ApiError, ErrorCode
from protocol.privacy_view import view
from server.services.privacy.requests import PrivacyRequests
from storage import personal_data
from storage.accounts import AccountStore
from storage.census import numbers_of_person
from storage.contract import ActivityLog, Range
from storage.database import Database, Value
from storage.directory import keys
from storage.personal_data import PersonalTable
from storage.privacy import requests
from storage.push.registrations import PushStore
from storage.telephony import calls

Line = dict[str, Any]
"""One line of an export. ``kind`` says what it is."""

Remove = Callable[[Kind, tuple[str, ...]], Awaitable[None]]
"""Removes an object of the directory; raises ApiError(not_found) if there is none."""

RECORDING_PART_BYTES: Final = 384 * 1024
"""Of a recording in one line: 512 KiB of base64."""

_ROWS_A_PAGE: Final = 500


@dataclass(frozen=True)
class PersonalSubject:
    """One kind of personal data. ``erase`` takes the person's id and who erases, and returns how much it erased."""

    name: str
    tables: tuple[str, ...]
    lines: Callable[[int], AsyncIterator[Line]]
    erase: Callable[[int, str], Awaitable[int]]


class PersonalData:
    """The subjects of one node, in the order in which they are erased: what a later one needs is erased last."""

    def __init__(self, database: Database, log: ActivityLog, remove: Remove, privacy: PrivacyRequests) -> None:
        self._database = database
        self._log = log
        self._remove = remove
        self._privacy = privacy
        self.subjects: tuple[PersonalSubject, ...] = (
            # The requests are found by the person's numbers, which the directory has.
            PersonalSubject("privacy_requests", _REQUEST_TABLES, self._requests, self._erase_requests),
            self._of_tables("keys", personal_data.KEYS, self._erase_keys),
            self._of_tables("calls", personal_data.CALLS, self._erase_calls),
            self._of_tables("devices", personal_data.DEVICES, self._erase_devices),
            self._of_tables("directory", personal_data.DIRECTORY, self._leave_directory),
            PersonalSubject("activities", ("activity",), self._activities, self._erase_activities),
        )

    async def lines(self, person_id: int) -> AsyncIterator[Line]:
        """Yield everything that is stored about a person, and would be erased, with the memory of one page."""
        for subject in self.subjects:
            async for line in subject.lines(person_id):
                yield line

    def _of_tables(
        self, name: str, tables: tuple[PersonalTable, ...], erase: Callable[[int, str], Awaitable[int]]
    ) -> PersonalSubject:
        async def lines(person_id: int) -> AsyncIterator[Line]:
            for each in tables:
                async for line in self._rows(each, person_id):
                    yield line

        return PersonalSubject(name, tuple(each.table for each in tables), lines, erase)

    async def _rows(self, wanted: PersonalTable, owner: Value) -> AsyncIterator[Line]:
        async for row in personal_data.rows(self._database, wanted, owner):
            yield {"kind": wanted.kind, **dict(_shown(name, value) for name, value in row.items())}

    # --- privacy requests by phone -----------------------------------------------------------------------------------

    async def _requests(self, person_id: int) -> AsyncIterator[Line]:
        for request_id in await requests.of_callers(self._database, await numbers_of_person(self._database, person_id)):
            kept = await requests.find(self._database, request_id)
            if kept is None or kept.request.erased_at_ms is not None:
                continue
            yield {"kind": "privacy_request", **asdict(view(kept.request))}
            async for line in self._recording(request_id):
                yield line
            for each in personal_data.OF_REQUEST:
                async for line in self._rows(each, request_id):
                    yield line

    async def _recording(self, request_id: str) -> AsyncIterator[Line]:
        mp3 = await requests.recording(self._database, request_id) or b""
        starts = range(0, len(mp3), RECORDING_PART_BYTES)
        for number, start in enumerate(starts, start=1):
            part = base64.b64encode(mp3[start : start + RECORDING_PART_BYTES]).decode()
            yield {
                "kind": "recording",
                "request_id": request_id,
                "part": number,
                "parts": len(starts),
                "mp3_base64": part,
            }

    async def _erase_requests(self, person_id: int, actor: str) -> int:
        return await self._privacy.erase_callers(await numbers_of_person(self._database, person_id), actor)

    # --- rows with the person's id -----------------------------------------------------------------------------------

    async def _erase_keys(self, person_id: int, actor: str) -> int:
        async with self._database.transaction() as transaction:
            await keys.erase(transaction, person_id)
        return 0

    async def _erase_calls(self, person_id: int, actor: str) -> int:
        async with self._database.transaction() as transaction:
            await calls.erase(transaction, person_id)
        return 0

    async def _erase_devices(self, person_id: int, actor: str) -> int:
        await PushStore(self._database).erase_person(person_id)
        return await AccountStore(self._database).erase_person(person_id)

    async def _leave_directory(self, person_id: int, actor: str) -> int:
        try:
            await self._remove(Kind.PERSON, (str(person_id),))
        except ApiError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            return 0
        return 1

    # --- activities --------------------------------------------------------------------------------------------------

    async def _activities(self, person_id: int) -> AsyncIterator[Line]:
        wanted, more = Range((person_id,), limit=_ROWS_A_PAGE), True
        while more:
            [page] = await self._log.read([wanted])
            more = page.more
            if page.rows:
                received = [each.id for each in page.rows if each.sender != person_id]
                recorded = await personal_data.authored(self._database, person_id, received)
                for each in page.rows:
                    written = each.sender == person_id or each.id in recorded
                    if written and (each.message is not None or each.message_id is not None):
                        yield {
                            "kind": "activity",
                            "id": each.id,
                            "type": ActivityType(each.type).name,
                            "from": str(Party.of_key(each.sender)),
                            "to": str(Party.of_key(each.receiver)),
                            "message": each.message,
                            "message_id": each.message_id,
                            "created_at": rfc3339(each.created_at_ms),
                        }
                wanted = wanted.beyond(page.rows[-1].id)
        async for line in self._rows(personal_data.IDEMPOTENCY_KEYS, person_id):
            yield line

    async def _erase_activities(self, person_id: int, actor: str) -> int:
        return await self._log.erase(person_id)


_REQUEST_TABLES: Final = (
    "privacy_request",
    "call_session",
    "web_form_session",
    "recording",
    *(each.table for each in personal_data.OF_REQUEST),
)


def _shown(name: str, value: Any) -> tuple[str, Any]:
    """Return a column as an export shows it: times as text, parties by kind and id, JSON as what it holds."""
    if name.endswith("_ms"):
        return name.removesuffix("_ms"), None if value is None else rfc3339(value)
    if name == "kind":  # the line has a kind of its own
        return "service", value
    if name == "from_party":
        return "from", str(Party.of_key(value))
    if name in ("reasons", "payload") and value:
        return name, msgspec.json.decode(value)
    if name == "trusted":
        return name, bool(value)
    return name, value
