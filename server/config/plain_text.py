"""Text from outside, made plain: as it may reach a terminal or a log.

A terminal obeys control characters: they set its title, clear it, or overwrite what stood there before. A line break
forges a line, a direction mark turns text around. Whatever somebody else wrote is therefore shown with escapes in place
of everything that does not print; JSON has escapes of its own for the same characters.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_JOINER: Final = "\u200d"
"""Joins several emoji to one. It prints nothing and steers nothing."""

_ESCAPED_BY_JSON: Final = re.compile(r"[^\x20-\x7e\n]")


def one_line(text: str) -> str:
    """The text on one line: a line break is shown as ``\\n``, an escape character as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == _JOINER else _escape(each) for each in text)


def several_lines(text: str) -> str:
    """The same, with its line breaks: only where nobody mistakes one of its lines for something else."""
    return "\n".join(map(one_line, text.split("\n")))


def json_text(value: object, **how: Any) -> str:
    """JSON in which whatever does not print is escaped; letters of all languages are as they are.

    ``how`` goes to :func:`json.dumps`.
    """
    text = json.dumps(value, ensure_ascii=False, **how)
    return text if text.isascii() and text.isprintable() else _ESCAPED_BY_JSON.sub(_as_json, text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _as_json(found: re.Match[str]) -> str:
    # Outside of strings JSON has ASCII alone, so that what is met here is a part of one.
    character = found[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]
