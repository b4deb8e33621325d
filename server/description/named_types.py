"""The classes that a type is made of, which have a name in the description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from protocol.embedded import embedded_types


def named_types(given: Any) -> Iterator[type]:
    """Yield every model, dataclass and struct that a type is made of, each once."""
    found: dict[type, None] = {}
    _collect(given, found)
    yield from found


def is_named(given: Any) -> bool:
    """Return whether a type is a class whose schema has a name."""
    if not isinstance(given, type) or get_args(given):
        return False
    return issubclass(given, BaseModel | msgspec.Struct) or hasattr(given, "__dataclass_fields__")


def always_there(given: type) -> list[str]:
    """Return the names of the fields that every encoded value of a struct or dataclass has."""
    if issubclass(given, msgspec.Struct):
        tag = given.__struct_config__.tag_field
        fields = msgspec.structs.fields(given)
        kept = [each.encode_name for each in fields if each.required or not _may_be_left_out(given, each)]
        return [*([tag] if tag is not None else []), *kept]
    hints = get_type_hints(given, include_extras=True)
    return [_alias(hints[name]) or name for name in getattr(given, "__dataclass_fields__", ())]


def _may_be_left_out(given: type[msgspec.Struct], field: msgspec.structs.FieldInfo) -> bool:
    return given.__struct_config__.omit_defaults or msgspec.UnsetType in get_args(field.type)


def _alias(hint: Any) -> str | None:
    metadata = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((each.alias for each in metadata if isinstance(each, FieldInfo) and each.alias), None)


def _collect(given: Any, found: dict[type, None]) -> None:
    if given in found:
        return
    if is_named(given):
        found[given] = None
        for field in get_type_hints(given, include_extras=True).values():
            _collect(field, found)
    elif get_origin(given) is Annotated:
        kind, *metadata = get_args(given)
        for each in (kind, *(embedded for one in metadata for embedded in embedded_types(one))):
            _collect(each, found)
    else:
        for each in get_args(given):
            _collect(each, found)
