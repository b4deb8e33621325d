"""The lines of a directory import: strict models, one for each kind, and the entry that a line stands for.

``"deleted": true`` removes: then only the fields of the identity are needed, and others are checked but not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import msgspec
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    Discriminator,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from protocol import directory, phone
from protocol.activity import PARTY_TYPES, Id, Party, PartyTypeName
from protocol.directory import KEYS, Entry, Kind, Removed
from protocol.errors import ApiError, ErrorCode
from protocol.validation import MAX_ID, MAX_NEW_ID, Strict, describe

T = TypeVar("T")

MAX_NAME_CHARACTERS = 255
MAX_AVATAR_CHARACTERS = 2_048
MAX_NUMBERS = 100
"""Numbers of one person, company or contact."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _e164(text: str) -> str:
    found = phone.parse_e164(text)
    if found is None:
        raise ValueError("should be a telephone number in E.164, such as +12025550101")
    return found


def _e164s(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({_e164(text) for text in texts}))


# PostgreSQL cannot store U+0000 in a text.
Text = Annotated[str, StringConstraints(max_length=MAX_NAME_CHARACTERS, pattern=r"^[^\x00]*$")]
Avatar = Annotated[str, StringConstraints(max_length=MAX_AVATAR_CHARACTERS, pattern=r"^[^\x00]*$")]
_E164_SCHEMA = {"type": "string", "pattern": r"^\+[1-9][0-9]{1,14}$", "examples": ["+12025550101"]}
E164 = Annotated[str, AfterValidator(_e164), WithJsonSchema(_E164_SCHEMA)]
Numbers = Annotated[
    tuple[str, ...],
    Field(max_length=MAX_NUMBERS),
    AfterValidator(_e164s),
    WithJsonSchema({"type": "array", "items": _E164_SCHEMA, "maxItems": MAX_NUMBERS, "default": []}),
]
# Existing objects may have a larger one: the import's plan distinguishes them.
NewId = Annotated[Id, Field(description=f"At most {MAX_NEW_ID} (2^53 - 1) where the object is new.")]
AddressBookNumbers = Annotated[
    tuple[str, ...],
    Field(
        max_length=MAX_NUMBERS,
        description="In E.164; punctuation is allowed. Numbers that cannot be called are left out.",
    ),
]
Code = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,32}$")]


class _Line(Strict):
    deleted: bool = Field(False, description="Removes the object; its other fields are then not needed.")

    def put(self) -> directory.Object:
        """Return the object that the line describes. Raises ApiError that names the first missing field."""
        raise TypeError("each kind has its own")


class PersonLine(_Line):
    """A person who uses the app; ``numbers`` are those they call from."""

    kind: Literal["person"]
    id: NewId
    first_name: Text | None = None
    middle_name: Text | None = None
    last_name: Text | None = None
    avatar: Avatar | None = None
    numbers: Numbers = ()
    """The numbers that the person calls from, in E.164."""

    def put(self) -> directory.Object:
        first_name = _required(self.first_name, "first_name")
        return directory.Person(self.id, first_name, self.middle_name, self.last_name, self.avatar, self.numbers)


class CompanyLine(_Line):
    """A company; ``numbers`` are those it calls from."""

    kind: Literal["company"]
    id: NewId
    name: Text | None = None
    """The company's name; required unless the line removes the company."""
    avatar: Avatar | None = None
    numbers: Numbers = ()
    """The numbers that the company calls from, in E.164."""

    def put(self) -> directory.Object:
        return directory.Company(self.id, _required(self.name, "name"), self.avatar, self.numbers)


class MemberLine(_Line):
    """A person is a member of a company."""

    kind: Literal["member"]
    company_id: Id
    person_id: Id

    def put(self) -> directory.Object:
        return directory.Member(self.company_id, self.person_id)


class ContactLine(_Line):
    """An entry in a person's address book."""

    kind: Literal["contact"]
    id: NewId
    person_id: Id | None = None
    first_name: Text | None = None
    middle_name: Text | None = None
    last_name: Text | None = None
    avatar: Avatar | None = None
    trusted: bool = False
    """Whether calls from these numbers ring."""
    numbers: AddressBookNumbers = ()

    def put(self) -> directory.Object:
        parsed = [phone.parse_international(text) for text in self.numbers]
        return directory.Contact(
            self.id,
            _required(self.person_id, "person_id"),
            self.first_name,
            self.middle_name,
            self.last_name,
            self.avatar,
            self.trusted,
            tuple(sorted({number for number in parsed if number is not None})),
            parsed.count(None),
        )


class TrustedCompanyLine(_Line):
    """A person trusts a company."""

    kind: Literal["trusted_company"]
    person_id: Id
    company_id: Id

    def put(self) -> directory.Object:
        return directory.TrustedCompany(self.person_id, self.company_id)


class PartyFields(Strict):
    """A person or a company: its type and id."""

    type: PartyTypeName
    """Whether it is a person or a company."""
    id: NewId

    @property
    def key(self) -> int:
        return Party(PARTY_TYPES[self.type], self.id).key


class TrustRequestLine(_Line):
    """A person or company asks a person for trust."""

    kind: Literal["trust_request"]
    id: NewId
    person_id: Id | None = None
    asked_by: PartyFields | None = Field(None, alias="from")
    """Who asks."""
    created_at: Annotated[AwareDatetime, Field(ge=_EPOCH)] | None = None

    def put(self) -> directory.Object:
        person_id = _required(self.person_id, "person_id")
        asked_by = _required(self.asked_by, "from")
        # Whole seconds, as on the wire, so that importing the same line again is no change.
        seconds = (_required(self.created_at, "created_at") - _EPOCH) // timedelta(seconds=1)
        return directory.TrustRequest(self.id, person_id, asked_by.key, seconds * 1000)


class NumberLine(_Line):
    """A Buzz number: a person's, or (without ``person_id``) one for the pool."""

    kind: Literal["number"]
    number: E164
    """The number in E.164."""
    person_id: Id | None = None

    def put(self) -> directory.Object:
        return directory.Number(self.number, self.person_id)


class ServiceCodeLine(_Line):
    """The code by which consumers choose a company."""

    kind: Literal["service_code"]
    code: Code
    """The code: 1 to 32 letters, digits, `_` or `-`."""
    name: Text | None = None
    """What the code is for."""
    company_id: Id | None = None

    def put(self) -> directory.Object:
        return directory.ServiceCode(self.code, _required(self.name, "name"), _required(self.company_id, "company_id"))


DirectoryLine = Annotated[
    PersonLine
    | CompanyLine
    | MemberLine
    | ContactLine
    | TrustedCompanyLine
    | TrustRequestLine
    | NumberLine
    | ServiceCodeLine,
    Discriminator("kind"),
]
"""Any line, for the description of the API. Parsing goes by the kind straight to its model."""

_MODELS: dict[Kind, type[_Line]] = {
    Kind.PERSON: PersonLine,
    Kind.COMPANY: CompanyLine,
    Kind.MEMBER: MemberLine,
    Kind.CONTACT: ContactLine,
    Kind.TRUSTED_COMPANY: TrustedCompanyLine,
    Kind.TRUST_REQUEST: TrustRequestLine,
    Kind.NUMBER: NumberLine,
    Kind.SERVICE_CODE: ServiceCodeLine,
}


_NEEDED: dict[Kind, tuple[str, ...]] = {
    Kind.PERSON: ("first_name",),
    Kind.COMPANY: ("name",),
    Kind.CONTACT: ("person_id",),
    Kind.TRUST_REQUEST: ("person_id", "asked_by", "created_at"),
    Kind.SERVICE_CODE: ("name", "company_id"),
}
"""Fields that only a removal does without."""


@cache
def fields_model(kind: Kind) -> type[BaseModel]:
    """Return the model of a PUT's body: a line without its kind and identity. It describes the API."""
    line = _MODELS[kind]
    fields: dict[str, Any] = {
        name: (given.annotation, given)
        for name, given in line.model_fields.items()
        if name not in ("kind", "deleted", *KEYS[kind], *_NEEDED.get(kind, ()))
    }
    for name in _NEEDED.get(kind, ()):
        given = line.model_fields[name]
        [required] = [each for each in get_args(given.annotation) if each is not NoneType]
        fields[name] = (required, Field(alias=given.alias, description=given.description))
    made = create_model(line.__name__.removesuffix("Line") + "Fields", __base__=Strict, __doc__=line.__doc__, **fields)
    made.described_by = line  # type: ignore[attr-defined]  # whose fields have the docstrings
    return made


def identity_types(kind: Kind) -> dict[str, Any]:
    """Return the types of the fields of a kind's identity: the parameters of its path."""
    types = get_type_hints(_MODELS[kind], include_extras=True)
    return {name: types[name] for name in KEYS[kind]}


# The compiled validators, called directly because an import calls them a million times.
_VALIDATE = {kind.value: model.__pydantic_validator__.validate_json for kind, model in _MODELS.items()}
_INTEGER_KEYS = frozenset(name for names in KEYS.values() for name in names) - {"number", "code"}


class _OnlyKind(msgspec.Struct):
    kind: Kind


_kind_of = msgspec.json.Decoder(_OnlyKind)


def parse_line(text: bytes) -> Entry:
    """Parse a line to an entry. Raises ApiError with one sentence that names the first wrong field."""
    try:
        kind = _kind_of.decode(text).kind
    except msgspec.ValidationError:
        expected = ", ".join(Kind)
        raise _refused(f"should be a JSON object with 'kind', one of {expected}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise _refused("not valid JSON") from None
    return _entry(kind, text)


def parse_object(kind: Kind, path: tuple[str, ...], body: Mapping[str, Any]) -> Entry:
    """Parse a request for one object: the identity from its path, the rest from its body.

    The body may repeat the identity. Raises ApiError: bad_request that names the first wrong field, or not_found if the
    path has not as many parts as the kind's identity.
    """
    names = KEYS[kind]
    if len(path) != len(names):
        raise ApiError(ErrorCode.NOT_FOUND, f"Not Found: the path is /admin/directory/{kind}/{'/'.join(names)}.")
    fields: dict[str, int | str] = {"kind": kind.value}
    fields |= {name: _identifier(name, text) for name, text in zip(names, path, strict=True)}
    for name, value in fields.items():
        if name in body and body[name] != value:
            raise _refused(f"Invalid parameter: '{name}': should agree with the path")
    return _entry(kind, msgspec.json.encode({**body, **fields}))


def _identifier(name: str, text: str) -> int | str:
    if name not in _INTEGER_KEYS:
        return text
    if text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= MAX_ID:
        return int(text)
    raise _refused(f"Invalid parameter: '{name}': should be an unsigned integer from 1")


def _entry(kind: Kind, text: bytes) -> Entry:
    try:
        found: _Line = _VALIDATE[kind](text)
    except ValidationError as error:
        raise _refused(describe(error)) from None
    if isinstance(found, NumberLine):
        return Removed(kind, found.put().identity) if found.deleted else found.put()
    if found.deleted:
        return Removed(kind, tuple(getattr(found, name) for name in KEYS[kind]))
    return found.put()


def _required(value: T | None, name: str) -> T:
    if value is None:
        raise _refused(f"Missing required parameter: '{name}'")
    return value


def _refused(message: str) -> ApiError:
    return ApiError(ErrorCode.BAD_REQUEST, message)
