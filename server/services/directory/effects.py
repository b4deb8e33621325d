"""The effects of a change of the directory on people: the heartbeat's times to set, the events to send.

A change of a contact affects its owner; of a person, their coworkers and themself; of a company, the people who trust
it; of a membership, all the company's members.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from protocol.directory import Company, Contact, Kind, Member, Number, Object, Person, TrustedCompany, TrustRequest
from protocol.heartbeat import LastTimes
from storage.database import Transaction
from storage.directory.changes import DirectoryChange
from storage.directory.names import read_memberships
from storage.directory.reads import members, trusting
from storage.directory.writes import ObjectChange

_SEVERAL = 0
_MAX_REQUESTS = 1_000
_MAX_NOTED = 2_000


# The lists of an app, each with a time in the heartbeat. Plain integers, because an import combines millions.
CONTACTS: Final = 1
TRUST_REQUESTS: Final = 2
COMPANIES: Final = 4
COWORKERS: Final = 8
USER: Final = 16
_NAMES: Final = {
    CONTACTS: "contacts",
    TRUST_REQUESTS: "trust_requests",
    COMPANIES: "companies",
    COWORKERS: "coworkers",
    USER: "user",
}


def list_names(lists: int) -> list[str]:
    """Return the lists' names for ``directory.changed``."""
    return [name for each, name in _NAMES.items() if lists & each]


class Effects:
    """Collects the effects of all changes of one transaction."""

    def __init__(self) -> None:
        self.concerned: dict[int, int] = {}
        self.requests: list[TrustRequest] = []
        """New requests for trust, to be told one by one; beyond the limit ``directory.changed`` has to do."""
        self._requested_at_ms: dict[int, int] = {}
        self._moved: dict[int, int] = {}
        self._names: list[int] | None = []
        self._members: set[int] | None = set()
        self._changed_people: list[int] = []
        self._changed_companies: list[int] = []
        self._colleagues: dict[int, int] = {}

    def note(self, change: ObjectChange) -> None:
        """Note an object that was put or removed (for a party's removal: :meth:`note_removed_party`)."""
        if change.kind in (Kind.PERSON, Kind.COMPANY):
            self._note_party(change)
            return
        for found in (change.before, change.after):
            if found is not None:
                self._note_belonging(found)
        if isinstance(change.after, TrustRequest):
            self._note_request(change.after)

    def note_removed_party(self, found: Object) -> None:
        """Note the removal of a person or company; call :meth:`spread` before it is removed."""
        if isinstance(found, Person):
            self._changed_people.append(found.id)
            self._note_name(found.key)
            self._note_membership(found.id)
        elif isinstance(found, Company):
            self._colleagues[found.id] = _SEVERAL
            self._changed_companies.append(found.id)
            self._note_name(found.key)

    async def spread(self, transaction: Transaction) -> None:
        """Read the coworkers and the trusting people of what was noted since the last call."""
        for person, companies in (await read_memberships(transaction, self._changed_people)).items():
            for key in companies:
                self._note_colleague(-key, person)
        for company, person in await members(transaction, list(self._colleagues)):
            if self._colleagues[company] != person:
                self._move(person, COWORKERS)
        for _, person in await trusting(transaction, self._changed_companies):
            self._move(person, COMPANIES)
        self._changed_people, self._changed_companies, self._colleagues = [], [], {}

    async def spread_removal(self, transaction: Transaction, company_ids: Iterable[int]) -> None:
        """Do the same for parties that will be removed: their memberships end."""
        for _, person in await members(transaction, list(company_ids)):
            self._note_membership(person)
        await self.spread(transaction)

    def times(self, now_ms: int) -> list[tuple[LastTimes, list[int]]]:
        """Return the times to set, and the people by id, so that two nodes lock them in the same order."""
        found: dict[LastTimes, list[int]] = {}
        for person, lists in sorted(self._moved.items()):
            found.setdefault(_moved_times(lists, now_ms), []).append(person)
        for person, requested_at_ms in sorted(self._requested_at_ms.items()):
            # If another node's clock is ahead of ours, no app has received its time yet.
            found.setdefault(LastTimes(trust_request=min(requested_at_ms, now_ms)), []).append(person)
        return list(found.items())

    def change(self) -> DirectoryChange:
        """Return what is stale now in the caches of every node; everything, if the list would be too long."""
        return DirectoryChange(
            None if self._names is None else tuple(self._names),
            None if self._members is None else tuple(self._members),
        )

    def _note_belonging(self, found: Object) -> None:
        if isinstance(found, Contact):
            self._move(found.person_id, CONTACTS)
        elif isinstance(found, Member):
            self._note_member(found)
        elif isinstance(found, TrustedCompany):
            self._move(found.person_id, COMPANIES)
        elif isinstance(found, TrustRequest):
            self._concern(found.person_id, TRUST_REQUESTS)
        elif isinstance(found, Number) and found.person_id is not None:
            self._move(found.person_id, USER)

    def _note_party(self, change: ObjectChange) -> None:
        before, found = change.before, change.after
        assert isinstance(found, Person | Company)
        if not isinstance(before, Person | Company) or before.named != found.named:
            self._note_name(found.key)
        if isinstance(found, Company):
            self._changed_companies.append(found.id)
            return
        # The upsert itself sets a person's own time. A new person gets coworkers only by `member` lines.
        self._concern(found.id, USER)
        if before is None:
            self._note_membership(found.id)
        else:
            self._changed_people.append(found.id)

    def _note_member(self, found: Member) -> None:
        self._move(found.person_id, COWORKERS)
        self._note_membership(found.person_id)
        self._colleagues[found.company_id] = _SEVERAL

    def _note_request(self, found: TrustRequest) -> None:
        latest = self._requested_at_ms.get(found.person_id, 0)
        self._requested_at_ms[found.person_id] = max(latest, found.created_at_ms)
        if len(self.requests) < _MAX_REQUESTS:
            self.requests.append(found)

    def _note_colleague(self, company_id: int, person_id: int) -> None:
        """Note a change of a company's member. A member without coworkers is not notified of themself."""
        known = self._colleagues.setdefault(company_id, person_id)
        if known != person_id:
            self._colleagues[company_id] = _SEVERAL

    def _note_name(self, key: int) -> None:
        if self._names is not None:
            self._names.append(key)
            if len(self._names) > _MAX_NOTED:
                self._names = None

    def _note_membership(self, person_id: int) -> None:
        if self._members is not None:
            self._members.add(person_id)
            if len(self._members) > _MAX_NOTED:
                self._members = None

    def _move(self, person_id: int, lists: int) -> None:
        self._moved[person_id] = self._moved.get(person_id, 0) | lists
        self._concern(person_id, lists)

    def _concern(self, person_id: int, lists: int) -> None:
        self.concerned[person_id] = self.concerned.get(person_id, 0) | lists


@lru_cache(maxsize=64)
def _moved_times(lists: int, now_ms: int) -> LastTimes:
    return LastTimes(
        contact_update=now_ms if lists & CONTACTS else None,
        company_update=now_ms if lists & COMPANIES else None,
        coworker_update=now_ms if lists & COWORKERS else None,
        user_update=now_ms if lists & USER else None,
    )
