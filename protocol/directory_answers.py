"""The directory's objects as the API shows them: in the form of an import's lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from protocol import directory
from protocol.activity import Party, rfc3339
from protocol.directory import Kind
from protocol.times import Time


class PersonObject(msgspec.Struct, frozen=True, tag_field="kind", tag="person"):
    """A person who uses the app."""

    id: int
    first_name: str
    """The first name."""
    middle_name: str | None
    """The middle name."""
    last_name: str | None
    """The last name."""
    avatar: str | None
    """The address of a picture."""
    numbers: tuple[str, ...]
    """The numbers that the person calls from, in E.164, sorted."""


class CompanyObject(msgspec.Struct, frozen=True, tag_field="kind", tag="company"):
    """A company."""

    id: int
    name: str
    """The company's name."""
    avatar: str | None
    """The address of a picture."""
    numbers: tuple[str, ...]
    """The numbers that the company calls from, in E.164, sorted."""


class MemberObject(msgspec.Struct, frozen=True, tag_field="kind", tag="member"):
    """A person is a member of a company."""

    company_id: int
    person_id: int


class ContactObject(msgspec.Struct, frozen=True, tag_field="kind", tag="contact"):
    """An entry in a person's address book."""

    id: int
    person_id: int
    first_name: str | None
    """The first name."""
    middle_name: str | None
    """The middle name."""
    last_name: str | None
    """The last name."""
    avatar: str | None
    """The address of a picture."""
    trusted: bool
    """Whether calls from these numbers ring."""
    numbers: tuple[str, ...]
    """The contact's numbers, in E.164, sorted."""


class TrustedCompanyObject(msgspec.Struct, frozen=True, tag_field="kind", tag="trusted_company"):
    """A person trusts a company: its calls ring."""

    person_id: int
    company_id: int


class ObjectParty(msgspec.Struct, frozen=True):
    """A person or a company."""

    type: Literal["person", "company"]
    """Whether it is a person or a company."""
    id: int


class TrustRequestObject(
    msgspec.Struct, frozen=True, tag_field="kind", tag="trust_request", rename={"asked_by": "from"}
):
    """A person or a company asks a person for trust."""

    id: int
    person_id: int
    asked_by: ObjectParty
    """Who asks."""
    created_at: Time


class NumberObject(msgspec.Struct, frozen=True, tag_field="kind", tag="number"):
    """A Buzz number."""

    number: str
    """The number in E.164."""
    person_id: int | None
    """The person who has it; null: it is for the pool."""


class ServiceCodeObject(msgspec.Struct, frozen=True, tag_field="kind", tag="service_code"):
    """The code by which consumers choose a company."""

    code: str
    """The code."""
    name: str
    """What the code is for."""
    company_id: int


DirectoryObject = (
    PersonObject
    | CompanyObject
    | MemberObject
    | ContactObject
    | TrustedCompanyObject
    | TrustRequestObject
    | NumberObject
    | ServiceCodeObject
)
OBJECTS: Final[dict[Kind, type[DirectoryObject]]] = {
    Kind.PERSON: PersonObject,
    Kind.COMPANY: CompanyObject,
    Kind.MEMBER: MemberObject,
    Kind.CONTACT: ContactObject,
    Kind.TRUSTED_COMPANY: TrustedCompanyObject,
    Kind.TRUST_REQUEST: TrustRequestObject,
    Kind.NUMBER: NumberObject,
    Kind.SERVICE_CODE: ServiceCodeObject,
}
"""How each kind of object is shown."""


def line(found: directory.Object) -> DirectoryObject:
    """Return the object in the form of an import's line."""
    fields = msgspec.structs.asdict(found)
    fields.pop("dropped_numbers", None)
    if isinstance(found, directory.TrustRequest):
        party = Party.of_key(fields.pop("from_party"))
        fields["asked_by"] = ObjectParty(party.type.value, party.id)
        fields["created_at"] = rfc3339(fields.pop("created_at_ms"))
    show: Callable[..., DirectoryObject] = OBJECTS[found.kind]
    return show(**fields)
