"""Bytes that were encoded before and are embedded in an answer unchanged: what they hold, for its description."""

from __future__ import annotations

from typing import Any

import msgspec

_KEY = "embedded"


def embedded(*types: type) -> msgspec.Meta:
    """Return the annotation of a ``msgspec.Raw`` that holds the JSON of one of these types."""
    references = [{"$ref": f"#/components/schemas/{each.__name__}"} for each in types]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    return msgspec.Meta(extra_json_schema=schema, extra={_KEY: types})


def embedded_list(each: type) -> msgspec.Meta:
    """Return the annotation of a ``msgspec.Raw`` that holds a JSON array of a type."""
    schema = {"type": "array", "items": {"$ref": f"#/components/schemas/{each.__name__}"}}
    return msgspec.Meta(extra_json_schema=schema, extra={_KEY: (each,)})


def embedded_types(annotation: Any) -> tuple[type, ...]:
    """Return the types of such an annotation, none of any other."""
    extra = annotation.extra if isinstance(annotation, msgspec.Meta) else None
    found: tuple[type, ...] = (extra or {}).get(_KEY, ())
    return found
