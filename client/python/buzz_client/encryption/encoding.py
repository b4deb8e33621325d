"""Encodes fields for signatures and hashes, and reads base64 and msgpack from others within limits."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterable
from typing import Any

import msgpack

_MAX_ENTRIES = 36
_MAX_FIELDS = 16
_LENGTH = struct.Struct(">I").pack


class BadForm(ValueError):
    """Bytes from somebody else don't have the form they should have."""


def framed(*fields: bytes | str | int) -> bytes:
    """Return the fields one after another, each with its length in 4 bytes before it, the first byte highest.

    Text is UTF-8, an integer 8 bytes. Two different lists of fields never give the same bytes.
    """
    parts: list[bytes] = []
    for field in fields:
        if isinstance(field, bytes):
            data = field
        else:
            data = field.encode() if isinstance(field, str) else field.to_bytes(8, "big")
        parts += (_LENGTH(len(data)), data)
    return b"".join(parts)


def to_base64(data: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(data).decode()


def from_base64(text: str, max_characters: int) -> bytes:
    """Return the bytes of standard base64 with padding. Raises BadForm for anything else."""
    if len(text) > max_characters:
        raise BadForm("it is too long")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise BadForm("it is not base64") from error
    if to_base64(data) != text:
        raise BadForm("it is not base64 in its usual form")
    return data


def pack(value: Any) -> bytes:
    """Return the value as msgpack."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def unpack(data: bytes) -> Any:
    """Return the one msgpack value in these bytes.

    Raises BadForm for anything else: several values, a key twice, an extension, more than 36 entries in a list or 16 in
    a map. Lengths are checked before anything is read, so a false length takes no memory.
    """
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            use_list=False,
            object_pairs_hook=_map,
            ext_hook=_no_extension,
            max_array_len=_MAX_ENTRIES,
            max_map_len=_MAX_FIELDS,
            max_ext_len=0,
            max_str_len=len(data),
            max_bin_len=len(data),
        )
    except (ValueError, msgpack.UnpackException, msgpack.StackError, RecursionError) as error:
        raise BadForm("it is not msgpack as it should be") from error


def _map(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields or not isinstance(name, str):
            raise BadForm("a key is there twice, or is no text")
        fields[name] = value
    return fields


def _no_extension(*_: Any) -> Any:
    raise BadForm("it has a msgpack extension")


def bytes_of(fields: dict[str, Any], name: str, length: int | None = None) -> bytes:
    """Return a field that must be bytes, of this length if one is given. Raises BadForm."""
    value = fields.get(name)
    if not isinstance(value, bytes) or (length is not None and len(value) != length):
        raise BadForm(f"'{name}' is not what it should be")
    return value


def integer_of(fields: dict[str, Any], name: str, most: int) -> int:
    """Return a field that must be an integer from 0 to ``most``. Raises BadForm."""
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise BadForm(f"'{name}' is not what it should be")
    return value


def map_of(value: Any, required: set[str], optional: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
    """Return the value if it is a map with all required fields and no others than the optional ones. Raises BadForm."""
    if not isinstance(value, dict) or not required <= value.keys() <= required | optional:
        raise BadForm("it does not have the fields it should have")
    return value
