"""The classes that a type is made of, which have a name in the description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel

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
