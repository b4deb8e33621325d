"""Surveys an import as a whole: which of its lines are effective, and which parties must exist already.

Lines are in order: of several for one object the last is effective, and removing a party removes what earlier lines
added to it. The result can be applied in any order: first the parties that are removed, then every line that is not
superseded. A line may refer to an object that comes later in the same import.
"""

from __future__ import annotations

from typing import Final

from protocol.directory import Company, Contact, Entry, Identity, Kind, Number, Person, Removed
from protocol.errors import ApiError, ErrorCode

_WARNINGS_SHOWN: Final = 10


class Survey:
    """Reads each line once, in order. It keeps ids, not objects: about 100 bytes for each line."""

    def __init__(self) -> None:
        self.lines = 0
        self.deleted: dict[int, int] = {}
        """Parties (keys) that are removed, and the last line that says so."""
        self.needed: dict[int, int] = {}
        """Parties (keys) that lines refer to and none brings, and the first such line."""
        self.dropped_numbers = 0
        """Numbers of contacts that nobody could call."""
        self.warned: list[str] = []
        """The first lines with such a number, in words."""
        self._present: set[int] = set()
        self._seen: dict[Kind, set[Identity | int | str]] = {kind: set() for kind in Kind}
        self._last: dict[tuple[Kind, Identity], int] = {}
        self._given: set[int] = set()

    def take(self, line: int, entry: Entry) -> None:
        """Add a line. Raises ApiError (bad_request) if it conflicts with earlier ones."""
        self.lines += 1
        if isinstance(entry, Removed):
            self._take_removed(line, entry)
            return
        if isinstance(entry, Person | Company):
            self._take_party(line, entry)
            return
        if isinstance(entry, Number):
            self._check_number(entry)
        if isinstance(entry, Contact) and entry.dropped_numbers:
            self._warn(line, entry)
        self._note(line, entry.kind, entry.identity)
        for key in entry.parties:
            if key not in self._present:
                self.needed.setdefault(key, line)

    @property
    def all_stand(self) -> bool:
        """Return whether every line is effective as it is: no object twice, no party removed."""
        return not self._last and not self.deleted

    def standing(self, line: int, entry: Entry) -> Entry | None:
        """Return the effective entry of a line.

        That is the entry itself; its removal, if a party that it is removed with is removed later; None if a later line
        replaces it, or :attr:`deleted` has it already.
        """
        if self._last.get((entry.kind, entry.identity), 0) > line:
            return None
        if isinstance(entry, Removed):
            return None if entry.removed_party is not None else entry
        if any(self.deleted.get(key, 0) > line for key in entry.goes_with):
            return None if isinstance(entry, Person | Company) else Removed(entry.kind, entry.identity)
        return entry

    def is_gone(self, key: int) -> bool:
        """Return whether the import removes this party in the end."""
        return key in self.deleted and key not in self._present

    def _take_party(self, line: int, entry: Person | Company) -> None:
        key = entry.key
        if key in self._present:
            self._last[entry.kind, entry.identity] = line
        self._present.add(key)
        self.needed.pop(key, None)

    def _take_removed(self, line: int, entry: Removed) -> None:
        key = entry.removed_party
        if key is None:
            self._note(line, entry.kind, entry.identity)
            return
        self.deleted[key] = line
        self._present.discard(key)
        self.needed.pop(key, None)

    def _note(self, line: int, kind: Kind, identity: Identity) -> None:
        seen = self._seen[kind]
        short = identity[0] if len(identity) == 1 else identity
        if short in seen:
            self._last[kind, identity] = line
        seen.add(short)

    def _warn(self, line: int, entry: Contact) -> None:
        self.dropped_numbers += entry.dropped_numbers
        if len(self.warned) < _WARNINGS_SHOWN:
            count = "a number was" if entry.dropped_numbers == 1 else f"{entry.dropped_numbers} numbers were"
            self.warned.append(f"line {line}: {count} left out of contact {entry.id}: nobody could call it")

    def _check_number(self, entry: Number) -> None:
        if entry.identity[0] in self._seen[Kind.NUMBER]:
            raise _refused("Invalid parameter: 'number': an earlier line is about this number already")
        if entry.person_id is not None:
            if entry.person_id in self._given:
                raise _refused("Invalid parameter: 'person_id': an earlier line gives this person a number already")
            self._given.add(entry.person_id)


def _refused(message: str) -> ApiError:
    return ApiError(ErrorCode.BAD_REQUEST, message)
