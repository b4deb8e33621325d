"""Checks outside input: strict models, frozen values, and one sentence for each error.

An error names the first wrong parameter and what was expected, in the seed's words where it has them: ``Missing
required parameter: 'type'``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from protocol.errors import ApiError, ErrorCode

T = TypeVar("T")

MAX_ID = 2**63 - 1
MAX_SHOWN_CHARACTERS = 128
"""How much of a field's name a message repeats."""
"""Ids are unsigned integers that fit a signed 64-bit column."""

MAX_NEW_ID = 2**53 - 1
"""The largest id that a new object may have: JSON clients that hold numbers as doubles round larger ones
(RFC 8259, section 6), and would act on another object."""


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What steers a terminal or turns text around: C0, DEL and C1, direction marks and overrides, line separators."""


def without_controls(text: str) -> str:
    """Return the text. Raises ValueError if it has control characters, which a terminal would obey."""
    if _CONTROLS.search(text):
        raise ValueError("should have no control characters, line separators or direction marks")
    return text


class Strict(BaseModel):
    """The base of every model of input: no coercion, no unknown fields, frozen once validated."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


def parse_json(adapter: TypeAdapter[T], data: bytes | str, code: ErrorCode = ErrorCode.BAD_REQUEST) -> T:
    """Validate JSON text directly from its bytes. If a key is repeated, the last value counts (RFC 8259, section 4).

    Raises ApiError with one sentence, which never contains the input: it may be a secret or a ciphertext.
    """
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        raise ApiError(code, describe(error)) from None


def parse_value(adapter: TypeAdapter[T], value: object, code: ErrorCode = ErrorCode.BAD_REQUEST) -> T:
    """Validate a value that was already decoded (msgpack, a query, a form)."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ApiError(code, describe(error)) from None


def describe(error: ValidationError) -> str:
    """Return one sentence for the first error: the parameter, and what was expected."""
    first: Any = error.errors(include_url=False, include_context=True, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    kind = first["type"]
    if kind == "json_invalid":
        return f"The body is not valid JSON: {first['ctx']['error']}"
    if not name:
        return _sentence(first["msg"]) if kind == "value_error" else "The body should be a JSON object."
    if kind == "value_error" and _sentence(first["msg"]).startswith(("Missing ", "Invalid ")):
        return _sentence(first["msg"])
    if kind == "missing":
        return f"Missing required parameter: '{name}'"
    if kind == "extra_forbidden":
        return f"Unknown parameter: '{name}'"
    return f"Invalid parameter: '{name}': {_sentence(first['msg'])}"


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input ")


# --- structs, decoded straight from bytes (msgspec) ---------------------------------------------------------------


def read_struct(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Decode and check JSON in one step. If a key is repeated, the last value counts (RFC 8259, section 4).

    Raises ApiError(bad_request) with one sentence, which never contains the input: it may be a ciphertext.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise ApiError(ErrorCode.BAD_REQUEST, describe_struct(error, decoder.type)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(ErrorCode.BAD_REQUEST, f"The body is not valid JSON: {error}") from None


_AT = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_FIELD = re.compile(r"Object (?:missing required|contains unknown) field `(?P<field>.*)`")
_EXPECTED = {
    "`int`": "an integer",
    "`int | null`": "an integer",
    "`str`": "a string",
    "`str | null`": "a string",
    "`object`": "an object",
}
_SAID_BETTER = (
    (re.compile(r"matching regex '\^\[0-9a-fA-F\]"), "should be a UUID"),
    (re.compile(r"matching regex '\^\[ -~\]"), "should be printable ASCII"),
    (re.compile(r"Expected `int` (?P<limit>[<>]=) (?P<number>-?\d+)"), "should be {limit} {number}"),
    (re.compile(r"`str` of length (?P<limit>[<>]=) (?P<number>\d+)"), "should have {limit} {number} characters"),
)


def describe_struct(error: msgspec.ValidationError, decoded: Any) -> str:
    """Return one sentence for msgspec's message about ``decoded``, a type: the parameter, and what was expected."""
    match = _AT.fullmatch(str(error))
    assert match is not None
    what, path = match["what"], match["path"] or ""
    if what.startswith("Invalid parameter: "):  # raised by a check of ours, after the struct was decoded
        return what
    field = _FIELD.fullmatch(what)
    if field is not None:
        name = _shown(f"{path}.{field['field']}" if path else field["field"])
        return f"Missing required parameter: '{name}'" if "missing" in what else f"Unknown parameter: '{name}'"
    if not path:
        return "The body should be a JSON object."
    return f"Invalid parameter: '{path}': {_expectation(what, decoded, path)}"


def _shown(name: str) -> str:
    """Return a field's name for a message. A client made it up, and may have made it as long as a frame."""
    return name if len(name) <= MAX_SHOWN_CHARACTERS else f"{name[:MAX_SHOWN_CHARACTERS]}…"


def _expectation(what: str, decoded: Any, path: str) -> str:
    if what.startswith("Invalid "):  # "Invalid enum value 'x'": msgspec names no value that is accepted
        return "should be one of " + ", ".join(f"'{value}'" for value in accepted_values(decoded, path))
    for pattern, sentence in _SAID_BETTER:
        found = pattern.search(what)
        if found:
            return sentence.format(**found.groupdict())
    expected, _, got = what.removeprefix("Expected ").partition(", got ")
    wanted = _EXPECTED.get(expected, expected.replace("`", ""))
    return f"should be {wanted}, not {got.strip('`')}" if got else f"should be {wanted}"


@lru_cache(maxsize=256)
def accepted_values(decoded: Any, path: str) -> tuple[str, ...]:
    """Return the values that a field accepts if they are listed in its type, in that order.

    ``path`` leads to the field of ``decoded``, such as ``activity.type``.
    """
    found = [decoded]
    for name in path.split("."):
        found = [inner for each in found for kind in _kinds(each) for inner in _field(kind, name)]
    literals = [kind for each in found for kind in _kinds(each) if get_origin(kind) is Literal]
    return tuple(str(value) for each in literals for value in get_args(each))


def _kinds(given: Any) -> list[Any]:
    """Return the types that a union or an annotated type is made of; any other type alone."""
    if get_origin(given) is Annotated:
        return _kinds(get_args(given)[0])
    if get_origin(given) in (Union, UnionType):
        return [kind for each in get_args(given) for kind in _kinds(each)]
    return [given]


def _field(kind: Any, name: str) -> list[Any]:
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return []
    return [field.type for field in msgspec.structs.fields(kind) if field.encode_name == name]
