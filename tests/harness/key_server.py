"""The public keys of people in memory, as the routes of a server list them: for tests of keys without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from buzz_client import HttpError


@dataclass(frozen=True)
class Key:
    """One key of a device. Times are Unix seconds."""

    person: int
    public_key: str
    algorithm: str
    device_id: str
    statement: str
    updated_at: float
    revoked_at: float | None = None

    @property
    def row(self) -> dict[str, Any]:
        return {
            "person_id": self.person,
            "public_key": self.public_key,
            "algorithm": self.algorithm,
            "device_id": self.device_id,
            "statement": self.statement,
            "updated_at": _rfc3339(self.updated_at),
            "revoked_at": _rfc3339(self.revoked_at),
        }


class KeyServer:
    """Everybody's keys, as `storage.directory.keys` keeps them."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.keys: list[Key] = []
        self.members: dict[int, list[int]] = {}

    def put(self, person: int, public_key: str, algorithm: str, device_id: str, statement: str) -> Key:
        new = Key(person, public_key, algorithm, device_id, statement, self.now())
        slot = (person, device_id, algorithm, None)
        for at, key in enumerate(self.keys):
            if (key.person, key.device_id, key.algorithm, key.revoked_at) == slot:
                if key.public_key == public_key:
                    if key.statement != statement:
                        self.keys[at] = new
                    return self.keys[at]
                self.keys[at] = replace(key, revoked_at=self.now())
        self.keys.append(new)
        return new

    def remove(self, person: int, device_id: str) -> None:
        """The person signs a device out: its keys are revoked."""
        for at, key in enumerate(self.keys):
            if (key.person, key.device_id, key.revoked_at) == (person, device_id, None):
                self.keys[at] = replace(key, revoked_at=self.now())

    def of(self, person: int) -> list[Key]:
        """Those in force first, then the newest first."""
        found = [key for key in self.keys if key.person == person]
        return sorted(found, key=lambda key: (key.revoked_at is not None, -key.updated_at))

    def changed(self, since: str) -> list[Key]:
        """Everybody's keys that were added or revoked after that time, in that order."""
        after = datetime.fromisoformat(since).timestamp()
        times = sorted((max(key.updated_at, key.revoked_at or 0), at) for at, key in enumerate(self.keys))
        return [self.keys[at] for changed_at, at in times if changed_at > after]


class KeyRoutes:
    """The HTTP methods of one device that the encryption uses. ``fails``: raised by the next call, once."""

    def __init__(self, server: KeyServer, person: int) -> None:
        self.server = server
        self.person = person
        self.fails: list[Exception] = []
        self.fetches = 0

    async def put_public_key(self, public_key: str, algorithm: str, device_id: str, statement: str) -> dict[str, Any]:
        self._fail()
        return self.server.put(self.person, public_key, algorithm, device_id, statement).row

    async def public_keys(self, person: int) -> list[dict[str, Any]]:
        self.fetches += 1
        self._fail()
        return [key.row for key in self.server.of(person)]

    async def changed_keys(self, since: str) -> AsyncIterator[dict[str, Any]]:
        self._fail()
        for key in self.server.changed(since):
            yield key.row

    async def company_members(self, company: int) -> list[int]:
        self._fail()
        if company not in self.server.members:
            raise HttpError(404, "Not Found", None)
        return self.server.members[company]

    def _fail(self) -> None:
        if self.fails:
            raise self.fails.pop(0)


def _rfc3339(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
