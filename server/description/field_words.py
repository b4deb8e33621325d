"""What each field means: the docstring after it in its class, or the meaning that its name has everywhere."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from types import ModuleType
from typing import Final

import msgspec
from pydantic import BaseModel

EVERYWHERE: Final = {
    "id": "Its id.",
    "person_id": "The person's id.",
    "company_id": "The company's id.",
    "created_at": "When it was made.",
    "updated_at": "When it was last changed.",
    "kind": "What kind of object it is.",
    "first_name": "The first name.",
    "middle_name": "The middle name.",
    "last_name": "The last name.",
    "avatar": "The address of a picture.",
    "number": "The number in E.164.",
    "code": "The service code.",
}


def words_of(given: type) -> dict[str, str]:
    """Return the words for each field of a class, its own or inherited, that has any."""
    found = dict(EVERYWHERE)
    for each in reversed(getattr(given, "described_by", given).__mro__):
        module = inspect.getmodule(each)
        if module is not None:
            found |= _docstrings(module).get(each.__qualname__, {})
    return {**found, **{shown: found[name] for name, shown in _renamed(given) if name in found}}


def _renamed(given: type) -> list[tuple[str, str]]:
    """Return the fields whose name on the wire is another one than in Python, with both names."""
    if issubclass(given, msgspec.Struct):
        return [(field.name, field.encode_name) for field in msgspec.structs.fields(given)]
    if issubclass(given, BaseModel):
        return [(name, field.alias) for name, field in given.model_fields.items() if field.alias is not None]
    return []


@cache
def _docstrings(module: ModuleType) -> dict[str, dict[str, str]]:
    """Return, by class, the docstrings of its fields; none if the source is not available."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):
        return {}
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return {node.name: dict(_fields(node)) for node in classes}


def _fields(node: ast.ClassDef) -> list[tuple[str, str]]:
    found = []
    for field, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
            text = after.value.value if isinstance(after.value, ast.Constant) else None
            if isinstance(text, str):
                found.append((field.target.id, text))
    return found
