"""Escapes text from outside for a terminal or a log.

A terminal obeys control characters: they set its title, clear it, or overwrite earlier text. A line break can forge a
line, a direction mark reverses text. So text from outside is shown with every unprintable character escaped; JSON has
escapes of its own for the same characters.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_JOINER: Final = "\u200d"
"""Joins several emoji to one. It prints nothing and steers nothing."""

_ESCAPED_BY_JSON: Final = re.compile(r"[^\x20-\x7e\n]")


def one_line(text: str) -> str:
    """Return the text on one line: a line break is shown as ``\\n``, an escape character as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == _JOINER else _escape(each) for each in text)


def several_lines(text: str) -> str:
    """Return the escaped text with its line breaks: only where its lines can't be mistaken for something else."""
    return "\n".join(map(one_line, text.split("\n")))


def json_text(value: object, **how: Any) -> str:
    """Return JSON with unprintable characters escaped; letters of all languages stay unchanged.

    ``how`` goes to :func:`json.dumps`.
    """
    text = json.dumps(value, ensure_ascii=False, **how)
    return text if text.isascii() and text.isprintable() else _ESCAPED_BY_JSON.sub(_as_json, text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _as_json(found: re.Match[str]) -> str:
    # Outside of strings JSON is ASCII, so these characters are always part of a string.
    character = found[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]
