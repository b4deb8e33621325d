"""Access tokens in bulk, created as by `run.py token create`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from server.auth import signing_keys, tokens
from server.auth.signing_keys import KeyRing

TTL_SECONDS = 86_400


class Tokens:
    """Creates tokens with the key that the server made in its data directory at its first start."""

    def __init__(self, data_dir: Path) -> None:
        self._ring: KeyRing = signing_keys.load(data_dir / signing_keys.FILE_NAME)
        self._people: dict[int, str] = {}

    def of_people(self, people: Iterable[int]) -> Mapping[int, str]:
        """Return one token for each person, the same one at each call."""
        now_ms = time.time_ns() // 1_000_000
        for person in people:
            if person not in self._people:
                self._people[person] = tokens.mint_person(self._ring, person, TTL_SECONDS, now_ms)
        return self._people

    def of_service(self, name: str, scope: str) -> str:
        return tokens.mint_service(self._ring, name, scope, TTL_SECONDS, time.time_ns() // 1_000_000)
