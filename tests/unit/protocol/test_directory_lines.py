"""Lines of an import: what each kind takes, and that nothing else comes through."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.directory import KEYS, Contact, Kind, Person, Removed, TrustRequest
from protocol.directory_answers import line
from protocol.directory_lines import parse_line, parse_object
from protocol.errors import ApiError, ErrorCode

ID = st.integers(1, 2**63 - 1)
TEXT = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=("Cs",)), max_size=255)
NUMBER = st.integers(2_000_000_000, 9_999_999_999).map(lambda n: f"+1{n}")
OPTIONAL = st.none() | TEXT
NAMES = {"middle_name": OPTIONAL, "last_name": OPTIONAL, "avatar": OPTIONAL, "numbers": st.lists(NUMBER, max_size=5)}
LINES = st.one_of(
    st.fixed_dictionaries({"kind": st.just("person"), "id": ID, "first_name": TEXT}, optional=NAMES),
    st.fixed_dictionaries({"kind": st.just("company"), "id": ID, "name": TEXT}, optional={"avatar": OPTIONAL}),
    st.fixed_dictionaries({"kind": st.just("member"), "company_id": ID, "person_id": ID}),
    st.fixed_dictionaries(
        {"kind": st.just("contact"), "id": ID, "person_id": ID}, optional={**NAMES, "trusted": st.booleans()}
    ),
    st.fixed_dictionaries({"kind": st.just("trusted_company"), "company_id": ID, "person_id": ID}),
    st.fixed_dictionaries({"kind": st.just("number"), "number": NUMBER}, optional={"person_id": ID}),
    st.fixed_dictionaries(
        {"kind": st.just("service_code"), "code": st.from_regex(r"\A[0-9A-Z]{1,8}\Z"), "name": TEXT, "company_id": ID}
    ),
)


@given(LINES)
def test_a_line_is_read_and_written_back(fields: dict[str, object]) -> None:
    found = parse_line(json.dumps(fields).encode())
    assert not isinstance(found, Removed)
    written = msgspec.json.encode(line(found))
    assert parse_line(written) == found
    again = json.loads(written)
    assert found.identity == tuple(fields[name] for name in KEYS[Kind(str(fields["kind"]))])
    expected = {**fields, "numbers": sorted(set(fields["numbers"]))} if "numbers" in fields else fields  # type: ignore[call-overload]
    assert {name: again[name] for name in expected} == expected


@given(LINES)
def test_deleted_removes_and_needs_the_identity_alone(fields: dict[str, object]) -> None:
    kind = Kind(str(fields["kind"]))
    only = {name: fields[name] for name in ("kind", *KEYS[kind])}
    removed = Removed(kind, tuple(fields[name] for name in KEYS[kind]))  # type: ignore[misc]
    assert parse_line(json.dumps({**only, "deleted": True}).encode()) == removed
    assert parse_line(json.dumps({**fields, "deleted": True}).encode()) == removed


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(msgspec.json.encode))
def test_anything_else_is_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(ApiError) as refusal:
        parse_line(data)
    assert refusal.value.code is ErrorCode.BAD_REQUEST
    assert "\n" not in refusal.value.message


@given(
    LINES,
    st.data(),
    st.sampled_from([None, True, -1, 0, 2**63, 1.5, "", "x" * 3_000, "\x00", [], {}, ["+1"], {"type": "person"}]),
)
def test_a_wrong_value_is_refused_by_its_name_or_fits(
    fields: dict[str, object], data: st.DataObject, wrong: object
) -> None:
    name = data.draw(st.sampled_from(sorted(fields)))
    assert _fault(json.dumps({**fields, name: wrong})) in (None, name)


def _fault(text: str) -> str | None:
    """The name of the field at fault."""
    try:
        parse_line(text.encode())
    except ApiError as error:
        return error.message.split("'")[1].split(".")[0]
    return None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"kind":"person"}', "Missing required parameter: 'id'"),
        ('{"kind":"person","id":1}', "Missing required parameter: 'first_name'"),
        ('{"kind":"person","id":"1","first_name":"A"}', "Invalid parameter: 'id'"),
        ('{"kind":"person","id":1,"first_name":"A","nick":"B"}', "Unknown parameter: 'nick'"),
        ('{"kind":"person","id":1,"first_name":"A","numbers":["0123"]}', "E.164"),
        ('{"kind":"person","id":1,"first_name":"A","numbers":["+266696687"]}', "E.164"),
        ('{"kind":"contact","id":1}', "Missing required parameter: 'person_id'"),
        ('{"kind":"trust_request","id":1,"person_id":1,"created_at":"2024-07-01T10:00:00Z"}', "'from'"),
        ('{"kind":"number","number":"+1 202 555 0101"}', "Invalid parameter: 'number'"),
        ('{"kind":"service_code","code":"5 7","name":"x","company_id":1}', "Invalid parameter: 'code'"),
        ('{"kind":"animal"}', "one of person, company"),
        ('{"id":1}', "'kind'"),
        ("[1]", "should be a JSON object"),
        ('{"kind":"person"', "not valid JSON"),
        ("[" * 50_000, "should be a JSON object"),
        ('{"kind":"member","x":' + "[" * 50_000, "not valid JSON"),
    ],
)
def test_a_fault_is_named(text: str, says: str) -> None:
    with pytest.raises(ApiError) as refusal:
        parse_line(text.encode())
    assert says in refusal.value.message


def test_times_are_kept_in_whole_seconds_utc() -> None:
    text = b'{"kind":"trust_request","id":1,"person_id":2,"from":{"type":"company","id":7},"created_at":"%s"}'
    for written in (b"2024-07-01T10:00:00Z", b"2024-07-01T12:00:00.999+02:00"):
        assert parse_line(text % written) == TrustRequest(1, 2, -7, 1_719_828_000_000)


def test_the_path_and_the_body_make_one_object() -> None:
    assert parse_object(Kind.PERSON, ("1",), {"first_name": "A"}) == Person(1, "A")
    body = {"kind": "contact", "id": 1, "person_id": 2}
    assert parse_object(Kind.CONTACT, ("1",), body) == Contact(1, 2)
    assert parse_object(Kind.MEMBER, ("1", "2"), {"deleted": True}) == Removed(Kind.MEMBER, (1, 2))


@pytest.mark.parametrize(
    ("kind", "path", "body", "code"),
    [
        (Kind.PERSON, ("1", "2"), {}, ErrorCode.NOT_FOUND),
        (Kind.PERSON, ("x",), {}, ErrorCode.BAD_REQUEST),
        (Kind.PERSON, ("0",), {}, ErrorCode.BAD_REQUEST),
        (Kind.PERSON, ("-1",), {}, ErrorCode.BAD_REQUEST),
        (Kind.PERSON, ("９",), {}, ErrorCode.BAD_REQUEST),
        (Kind.PERSON, (str(2**63),), {}, ErrorCode.BAD_REQUEST),
        (Kind.PERSON, ("1",), {"id": 2, "first_name": "A"}, ErrorCode.BAD_REQUEST),
        (Kind.PERSON, ("1",), {"kind": "company", "first_name": "A"}, ErrorCode.BAD_REQUEST),
        (Kind.NUMBER, ("1",), {}, ErrorCode.BAD_REQUEST),
    ],
)
def test_a_path_that_does_not_fit(kind: Kind, path: tuple[str, ...], body: dict[str, object], code: ErrorCode) -> None:
    with pytest.raises(ApiError) as refusal:
        parse_object(kind, path, body)
    assert refusal.value.code is code
