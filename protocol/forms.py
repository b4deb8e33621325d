"""Nested keys in forms: ``a[b][c]=x`` to ``{"a": {"b": {"c": "x"}}}`` and back, within limits.

The privacy-request events are objects of objects whose every value is a string, sent as forms. Names are parsed
strictly: one that is nested too deep, malformed, or in conflict with another is refused with its name, never merged or
dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

Tree: TypeAlias = "dict[str, str | Tree]"
"""What a form says: names to strings, or to further names."""

MAX_DEPTH: Final = 3
MAX_FIELDS: Final = 64
MAX_NAME_CHARACTERS: Final = 128

_WORD: Final = r"[^\[\]\0-\x1f\ud800-\udfff]+"
_KEY: Final = re.compile(rf"\[({_WORD})\]")
_NAME: Final = re.compile(rf"(?P<first>{_WORD})(?P<rest>(?:\[{_WORD}\])*)")


class FormError(ValueError):
    """A field is refused. ``field`` is its name as it was sent (shortened), ``reason`` what was expected."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field[:MAX_NAME_CHARACTERS].encode(errors="replace").decode()
        super().__init__(f"Invalid parameter: '{self.field}': {reason}")
        self.reason = reason


def nest(fields: Iterable[tuple[str, str]]) -> Tree:
    """Build the tree that the fields' names describe. Raises FormError for the first wrong field."""
    tree: Tree = {}
    for count, (name, value) in enumerate(fields, start=1):
        if count > MAX_FIELDS:
            raise FormError(name, f"is one field too many: at most {MAX_FIELDS} are taken")
        *path, last = split_name(name)
        _set(_branch(tree, path, name), last, _plain(value, name), name)
    return tree


def flatten(tree: Mapping[str, str | Tree]) -> list[tuple[str, str]]:
    """Return the fields of a tree, in its order: ``[("a[b][c]", "x")]``. The reverse of ``nest``."""
    return [(name, value) for path, value in _leaves(tree, ()) for name in [_join(path)]]


def split_name(name: str) -> list[str]:
    """Split ``a[b][c]`` to ``["a", "b", "c"]``. Raises FormError if it is too long, too deep or malformed."""
    if len(name) > MAX_NAME_CHARACTERS:
        raise FormError(name, f"a field's name has at most {MAX_NAME_CHARACTERS} characters")
    match = _NAME.fullmatch(name)
    if match is None:
        raise FormError(name, "a field's name should read name or name[key][key]")
    keys = [match["first"], *_KEY.findall(match["rest"])]
    if len(keys) > MAX_DEPTH:
        raise FormError(name, f"is nested deeper than {MAX_DEPTH}")
    return keys


def tree_of(value: object) -> Tree:
    """Build the tree from decoded JSON, within the same limits. Booleans become ``"true"``/``"false"``, null ``""``.

    Raises FormError for anything that a form cannot contain: numbers, lists, objects nested too deep.
    """
    if not isinstance(value, dict):
        raise FormError("body", "should be an object")
    tree = _checked(value, ())
    if len(fields := flatten(tree)) > MAX_FIELDS:
        raise FormError(fields[MAX_FIELDS][0], f"is one field too many: at most {MAX_FIELDS} are taken")
    return tree


def _branch(tree: Tree, path: list[str], name: str) -> Tree:
    for key in path:
        deeper = tree.setdefault(key, {})
        if isinstance(deeper, str):
            raise FormError(name, f"clashes with the field '{key}', which is a value")
        tree = deeper
    return tree


def _set(tree: Tree, key: str, value: str, name: str) -> None:
    if key in tree:
        there = "is there twice" if isinstance(tree[key], str) else "clashes with fields nested below it"
        raise FormError(name, there)
    tree[key] = value


def _checked(value: dict[object, object], path: tuple[str, ...]) -> Tree:
    tree: Tree = {}
    for key, inner in value.items():
        here = (*path, str(key))
        if split_name(_join(here)) != list(here):
            raise FormError(_join(here), "a key has no brackets here")
        tree[str(key)] = _checked(inner, here) if isinstance(inner, dict) else _text(inner, here)
    return tree


def _text(value: object, path: tuple[str, ...]) -> str:
    if isinstance(value, str):
        return _plain(value, _join(path))
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    raise FormError(_join(path), "should be a string")


def _plain(value: str, name: str) -> str:
    # JSON can contain lone surrogates, which can't be encoded, and NUL, which PostgreSQL can't store in a text.
    if "\0" in value or not (value.isascii() or value.encode(errors="ignore").decode() == value):
        raise FormError(name, "should be plain text, without NUL or unpaired surrogates")
    return value


def _leaves(tree: Mapping[str, str | Tree], path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], str]]:
    for key, value in tree.items():
        if isinstance(value, str):
            yield (*path, key), value
        else:
            yield from _leaves(value, (*path, key))


def _join(path: tuple[str, ...]) -> str:
    first, *rest = path
    return first + "".join(f"[{key}]" for key in rest)
