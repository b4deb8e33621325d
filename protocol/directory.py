"""The directory's objects: people, companies, memberships and trust, mirrored from the operator's system.

Each has a kind and an identity (its primary key). Two objects are equal if all stored fields are equal: so an import
finds what has changed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from protocol.match_key import match_key

Identity = tuple[int | str, ...]


class Kind(StrEnum):
    """The kind of an object: the ``kind`` of its line."""

    PERSON = "person"
    COMPANY = "company"
    MEMBER = "member"
    CONTACT = "contact"
    TRUSTED_COMPANY = "trusted_company"
    TRUST_REQUEST = "trust_request"
    NUMBER = "number"
    SERVICE_CODE = "service_code"


class _Object(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of all objects. Array-like encoding, because an import spools millions of them."""

    kind: ClassVar[Kind]

    @property
    def identity(self) -> Identity:
        """The values of the fields that :data:`KEYS` names, in their order."""
        raise TypeError("each kind has its own")

    @property
    def parties(self) -> tuple[int, ...]:
        """The keys of the parties that must exist before this object can be stored."""
        return ()

    @property
    def goes_with(self) -> tuple[int, ...]:
        """The keys of the parties with which this object is removed."""
        return self.parties

    @property
    def brings(self) -> dict[str, int]:
        """By field, the ids that this object adds to Buzz. Its other ids must exist already."""
        return {}


class Person(_Object, frozen=True, array_like=True, gc=False, tag="person"):
    """A person who uses the app. ``numbers`` are those that they call from, in E.164, sorted."""

    kind: ClassVar = Kind.PERSON
    id: int
    first_name: str
    middle_name: str | None = None
    last_name: str | None = None
    avatar: str | None = None
    numbers: tuple[str, ...] = ()

    @property
    def identity(self) -> Identity:
        return (self.id,)

    @property
    def key(self) -> int:
        return self.id

    @property
    def brings(self) -> dict[str, int]:
        return {"id": self.id}

    @property
    def goes_with(self) -> tuple[int, ...]:
        return (self.id,)

    @property
    def named(self) -> tuple[str | None, ...]:
        """The name that others see."""
        return (self.first_name, self.middle_name, self.last_name)


class Company(_Object, frozen=True, array_like=True, gc=False, tag="company"):
    """A company. Its members are coworkers and act for it."""

    kind: ClassVar = Kind.COMPANY
    id: int
    name: str
    avatar: str | None = None
    numbers: tuple[str, ...] = ()

    @property
    def identity(self) -> Identity:
        return (self.id,)

    @property
    def key(self) -> int:
        return -self.id

    @property
    def brings(self) -> dict[str, int]:
        return {"id": self.id}

    @property
    def goes_with(self) -> tuple[int, ...]:
        return (-self.id,)

    @property
    def named(self) -> tuple[str | None, ...]:
        """The name that others see."""
        return (self.name,)


class Member(_Object, frozen=True, array_like=True, gc=False, tag="member"):
    """A person is a member of a company."""

    kind: ClassVar = Kind.MEMBER
    company_id: int
    person_id: int

    @property
    def identity(self) -> Identity:
        return (self.company_id, self.person_id)

    @property
    def parties(self) -> tuple[int, ...]:
        return (-self.company_id, self.person_id)


class Contact(_Object, frozen=True, array_like=True, gc=False, tag="contact"):
    """An entry in a person's address book. If ``trusted``, calls from its numbers ring.

    ``dropped_numbers``: how many numbers of the contact in the operator's system cannot be called; they are not stored.
    """

    kind: ClassVar = Kind.CONTACT
    id: int
    person_id: int
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    avatar: str | None = None
    trusted: bool = False
    numbers: tuple[str, ...] = ()
    dropped_numbers: int = 0

    @property
    def identity(self) -> Identity:
        return (self.id,)

    @property
    def brings(self) -> dict[str, int]:
        return {"id": self.id}

    @property
    def parties(self) -> tuple[int, ...]:
        return (self.person_id,)


class TrustedCompany(_Object, frozen=True, array_like=True, gc=False, tag="trusted_company"):
    """A person trusts a company: its calls ring."""

    kind: ClassVar = Kind.TRUSTED_COMPANY
    person_id: int
    company_id: int

    @property
    def identity(self) -> Identity:
        return (self.person_id, self.company_id)

    @property
    def parties(self) -> tuple[int, ...]:
        return (self.person_id, -self.company_id)


class TrustRequest(_Object, frozen=True, array_like=True, gc=False, tag="trust_request"):
    """A party (its key) asks a person for trust. It need not be in the directory."""

    kind: ClassVar = Kind.TRUST_REQUEST
    id: int
    person_id: int
    from_party: int
    created_at_ms: int

    @property
    def identity(self) -> Identity:
        return (self.id,)

    @property
    def brings(self) -> dict[str, int]:
        return {"id": self.id, "from.id": abs(self.from_party)}

    @property
    def parties(self) -> tuple[int, ...]:
        return (self.person_id,)

    @property
    def goes_with(self) -> tuple[int, ...]:
        return (self.person_id, self.from_party)


class Number(_Object, frozen=True, array_like=True, gc=False, tag="number"):
    """A Buzz number: a person's already, or (without ``person_id``) one for the pool.

    Its identity is its match key, because the same line can be written in several ways.
    """

    kind: ClassVar = Kind.NUMBER
    number: str
    person_id: int | None = None

    @property
    def identity(self) -> Identity:
        return (match_key(self.number),)

    @property
    def parties(self) -> tuple[int, ...]:
        return () if self.person_id is None else (self.person_id,)


class ServiceCode(_Object, frozen=True, array_like=True, gc=False, tag="service_code"):
    """The code by which consumers name a company on the privacy line and the web form."""

    kind: ClassVar = Kind.SERVICE_CODE
    code: str
    name: str
    company_id: int

    @property
    def identity(self) -> Identity:
        return (self.code,)

    @property
    def parties(self) -> tuple[int, ...]:
        return (-self.company_id,)


class Removed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="removed"):
    """The object of this kind and identity is to be removed. It is no error if it does not exist."""

    kind: Kind
    identity: Identity

    @property
    def removed_party(self) -> int | None:
        """The party's key, if a party is removed: its objects are removed with it."""
        if self.kind not in (Kind.PERSON, Kind.COMPANY):
            return None
        party_id = int(self.identity[0])
        return party_id if self.kind is Kind.PERSON else -party_id


Object = Person | Company | Member | Contact | TrustedCompany | TrustRequest | Number | ServiceCode
Entry = Object | Removed
"""What one line asks for: the object as it shall be, or that it shall not be."""

KEYS: dict[Kind, tuple[str, ...]] = {
    Kind.PERSON: ("id",),
    Kind.COMPANY: ("id",),
    Kind.MEMBER: ("company_id", "person_id"),
    Kind.CONTACT: ("id",),
    Kind.TRUSTED_COMPANY: ("person_id", "company_id"),
    Kind.TRUST_REQUEST: ("id",),
    Kind.NUMBER: ("number",),
    Kind.SERVICE_CODE: ("code",),
}
"""The fields that make an object's identity: the path of its admin route, in this order."""
