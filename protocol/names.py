"""A party's name on the wire: the ``sendable`` and ``receivable`` objects of ``GET activity``."""

from __future__ import annotations

import msgspec

from protocol.activity import Party, PartyType


class PersonName(msgspec.Struct, frozen=True, gc=False):
    """A person: id and three names. All names are null if the person is no longer in the directory."""

    id: int
    first_name: str | None
    middle_name: str | None
    last_name: str | None

    @property
    def key(self) -> int:
        return self.id

    @property
    def display(self) -> str:
        """The name as ``Jane A. Smith``, for lists and terminals."""
        return " ".join(part for part in (self.first_name, self.middle_name, self.last_name) if part)


class CompanyName(msgspec.Struct, frozen=True, gc=False):
    """A company. The name is null if it is no longer in the directory.

    It has a person's three name fields too, for apps that read nothing else: ``first_name`` is the company's name.
    """

    id: int
    name: str | None
    """The company's name; null if it is no longer in the directory."""
    first_name: str | None = None
    """The company's name again, for apps that read nothing else."""
    middle_name: None = None
    """Always null."""
    last_name: None = None
    """Always null."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "first_name", self.name)

    @property
    def key(self) -> int:
        return -self.id

    @property
    def display(self) -> str:
        return self.name or ""


Name = PersonName | CompanyName


def nameless(key: int) -> Name:
    """Return the name of a party that is no longer in the directory: only its id."""
    party = Party.of_key(key)
    return PersonName(party.id, None, None, None) if party.type is PartyType.PERSON else CompanyName(party.id, None)
