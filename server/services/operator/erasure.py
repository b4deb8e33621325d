"""Erases a person: everything about them is deleted, and every client's cursor stays valid.

The order of the steps allows repeating them: each is one transaction, and what a later step must find is erased last.
So after a crash the same command finishes the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from server.auth.authentication import Authentication
from server.live.hub import Hub
from server.services.operator.personal_data import PersonalData
from storage.accounts import AccountStore
from storage.census import numbers_of_person, public_keys_of_person
from storage.database import Database
from storage.directory.names import read_names
from storage.partners import count_partners
from storage.privacy.requests import of_callers
from storage.sqlite.database import SqliteDatabase

_TRIES: Final = 5


@dataclass(frozen=True)
class Erased:
    """What was erased for one person."""

    person_id: int
    in_directory: bool
    """Whether they were in the directory."""
    activities_emptied: int
    """How many activities lost their text."""
    devices: int
    """How many devices were forgotten."""
    privacy_requests: int
    """How many privacy requests were erased."""


@dataclass(frozen=True)
class ErasurePreview:
    """What is stored about a person, and would be erased."""

    person_id: int
    in_directory: bool
    """Whether they are in the directory."""
    name: str
    """Their name; empty if they are not in the directory."""
    conversations: int
    """With how many parties they have talked."""
    devices: int
    """How many devices are remembered."""
    public_keys: int
    """How many public keys are kept."""
    numbers: int
    """How many numbers they call from or were given."""
    privacy_requests: int
    """How many privacy requests were made from these numbers."""
    dry_run: Literal[True] = True
    """Always true: nothing was erased."""


class Erasure:
    """Erases people at the operator's command."""

    def __init__(
        self,
        database: Database,
        data: PersonalData,
        auth: Authentication,
        hub: Hub,
        compact: SqliteDatabase | None,
    ) -> None:
        self._database = database
        self._data = data
        self._auth = auth
        self._hub = hub
        self._compact = compact

    async def person(self, person_id: int, actor: str) -> Erased:
        """Erase a person; ``actor`` goes into the audit trail of their privacy requests. May be repeated.

        Their directory entry, keys, devices, blocked calls and privacy data are deleted, their number rests, their
        tokens are revoked, and their messages become tombstones that keep id, type and time.
        """
        await self._auth.revoke_person(person_id)
        counts = {subject.name: await subject.erase(person_id, actor) for subject in self._data.subjects}
        # The cache of the live path still has the bodies: it is cleared, so that activities are read from the log.
        self._hub.forget()
        await self._leave_no_trace()
        return Erased(
            person_id,
            in_directory=counts["directory"] > 0,
            activities_emptied=counts["activities"],
            devices=counts["devices"],
            privacy_requests=counts["privacy_requests"],
        )

    async def preview(self, person_id: int) -> ErasurePreview:
        """Return what :meth:`person` would erase. Changes nothing."""
        numbers = await numbers_of_person(self._database, person_id)
        name = (await read_names(self._database, [person_id])).get(person_id)
        return ErasurePreview(
            person_id,
            name is not None,
            name.display if name is not None else "",
            await count_partners(self._database, person_id),
            len(await AccountStore(self._database).devices(person_id)),
            await public_keys_of_person(self._database, person_id),
            len(numbers),
            len(await of_callers(self._database, numbers)),
        )

    async def _leave_no_trace(self) -> None:
        for _ in range(_TRIES):
            if self._compact is None or await self._compact.checkpoint():
                return
