"""JSON schemas of the types that check requests and frames, collected under ``#/components/schemas``."""

from __future__ import annotations

import re
from typing import Any, get_args

import msgspec
from pydantic import BaseModel, TypeAdapter

from server.description.field_words import words_of
from server.description.named_types import always_there, named_types

_PREFIX = "#/components/schemas/"
_CODE = re.compile(r"``(.+?)``")
_ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")

Schema = dict[str, Any]


class Schemas:
    """Collects named schemas. Types are pydantic models, dataclasses, msgspec structs and types composed of them."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def of(self, given: Any) -> Schema:
        """Return the schema of a type: a reference if it has a name. Raises ValueError if two types share a name."""
        found = self._of_structs(given) if _has_struct(given) else self._of_pydantic(given)
        for named in named_types(given):
            if named.__name__ not in self.components:
                self.of(named)  # embedded as bytes, so that the schema only refers to it
            self._describe_fields(named, self.components[named.__name__])
        return found

    def of_answer(self, given: Any) -> Schema:
        """Return the schema of a type that the server makes: each field is there, also one that has a default."""
        found = self.of(given)
        for named in named_types(given):
            present = always_there(named)
            if present:
                self.components[named.__name__]["required"] = present
        return found

    def fields(self, given: Any) -> list[tuple[str, Schema, bool]]:
        """Return (name, schema, required) of each field of a model, which gets no name: a query's parameters."""
        if _has_struct(given):
            _, components = msgspec.json.schema_components([given], ref_template=_PREFIX + "{name}")
            schema = readable(components.pop(given.__name__))
        else:
            schema = readable(TypeAdapter(given).json_schema(ref_template=_PREFIX + "{model}"))
            components = schema.pop("$defs", {})
        self._add_all(components)
        self._describe_fields(given, schema)
        required = schema.get("required", [])
        return [(name, field, name in required) for name, field in schema["properties"].items()]

    def add(self, name: str, schema: Schema) -> Schema:
        """Add a schema of our own to the named ones; returns the reference to it."""
        if "enum" in schema:
            schema = {"type": "string", **schema}
        known = self.components.setdefault(name, schema)
        if _compared(known) != _compared(schema):
            raise ValueError(f"two types of the API are called {name}: rename one")
        return {"$ref": _PREFIX + name}

    def _of_structs(self, given: Any) -> Schema:
        [schema], components = msgspec.json.schema_components([given], ref_template=_PREFIX + "{name}")
        self._add_all(components)
        found: Schema = readable(schema)
        return found

    def _of_pydantic(self, given: Any) -> Schema:
        schema = TypeAdapter(given).json_schema(ref_template=_PREFIX + "{model}")
        self._add_all(schema.pop("$defs", {}))
        named = isinstance(given, type) and (issubclass(given, BaseModel) or hasattr(given, "__dataclass_fields__"))
        return self.add(given.__name__, readable(schema)) if named else readable(schema)

    def _add_all(self, components: dict[str, Schema]) -> None:
        for name, schema in components.items():
            self.add(name, readable(schema))

    def _describe_fields(self, given: type, schema: Schema) -> None:
        words = words_of(given)
        for name, field in schema.get("properties", {}).items():
            if "description" not in field and name in words:
                field["description"] = markdown(words[name])


def _compared(schema: Schema) -> Schema:
    """Return what two schemas of one type have in common.

    The descriptions of fields, and which are required, are set after a type is named, and the two libraries list the
    values of an enumeration in different orders.
    """
    if "enum" in schema:
        return {"enum": sorted(schema["enum"])}
    fields = schema.get("properties")
    if fields is None:
        return schema
    schema = {key: each for key, each in schema.items() if key != "required"}
    bare = {name: {key: each for key, each in field.items() if key != "description"} for name, field in fields.items()}
    return {**schema, "properties": bare}


def readable(schema: Any) -> Any:
    """Return the schema without entries that only repeat names, and with docstrings as Markdown."""
    if isinstance(schema, list):
        return [readable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if not (name == "title" and isinstance(value, str))}
    if isinstance(kept.get("enum"), list) and len(kept["enum"]) == 1:
        [kept["const"]] = kept.pop("enum")  # generators of clients know a constant better
    return {
        name: markdown(value) if name == "description" and isinstance(value, str) else readable(value)
        for name, value in kept.items()
    }


def markdown(docstring: str) -> str:
    """Return a docstring's text for readers of the API."""
    return " ".join(_CODE.sub(r"`\1`", _ROLE.sub(r"`\1`", docstring)).split())


def _has_struct(given: Any) -> bool:
    if isinstance(given, type) and issubclass(given, msgspec.Struct):
        return True
    return any(_has_struct(each) for each in get_args(given))
