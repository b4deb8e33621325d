"""The match key, by which telephone numbers are compared.

Address books, carriers and Twilio write the same number in several ways: with and without Mexico's ``1``, or with the
eight digits from before a country changed to ten. Numbers are stored and shown as given; two of them are the same line
when their match keys are equal. The rules are data, each with its source, in ``renumbering.toml``.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, NamedTuple

_TABLE: Final = Path(__file__).with_name("renumbering.toml")
_VARIABLE: Final = re.compile(r"x|\[[0-9-]+\]")

# Several times as many as the numbers called within minutes on one node, at about 200 bytes each.
_CACHED_NUMBERS: Final = 32_768


class NumberRange(NamedTuple):
    """The E.164 numbers that a rule rewrites: those with this prefix and this length."""

    prefix: str
    length: int


class Rule(NamedTuple):
    """One line of the table. ``written`` matches whole E.164 numbers, ``compared`` replaces them."""

    country: str
    code: str
    written: re.Pattern[str]
    compared: str
    range: NumberRange


@lru_cache(maxsize=_CACHED_NUMBERS)
def match_key(e164: str) -> str:
    """Return an E.164 number's match key: an E.164 number too, for most numbers the number itself.

    A match key is its own match key.
    """
    rules = _by_code()
    for digits in (1, 2, 3):
        for rule in rules.get(e164[1 : 1 + digits], ()):
            found = rule.written.fullmatch(e164)
            if found is not None:
                return rule.compared.format(*found.groups())
    return e164


def own_key(e164: str) -> str | None:
    """Return the match key if it differs from ``e164``, otherwise None: it is stored beside a number."""
    key = match_key(e164)
    return None if key == e164 else key


@cache
def rules() -> tuple[Rule, ...]:
    """Return every line of the table, in its order."""
    plans = tomllib.loads(_TABLE.read_text())["plan"]
    return tuple(
        _rule(plan["country"], plan["code"], written.replace(" ", ""), compared.replace(" ", ""))
        for plan in plans
        for written, compared in plan["lines"]
    )


@cache
def table_digest() -> str:
    """Return a digest of the table: stored keys are computed again when it changes."""
    return hashlib.blake2b(_TABLE.read_bytes(), digest_size=16).hexdigest()


@cache
def _by_code() -> dict[str, tuple[Rule, ...]]:
    found: dict[str, tuple[Rule, ...]] = {}
    for rule in rules():
        found[rule.code] = (*found.get(rule.code, ()), rule)
    return found


def _rule(country: str, code: str, written: str, compared: str) -> Rule:
    """Compile a line. Raises ValueError if the two patterns have not the same number of variable digits."""
    variable = len(_VARIABLE.findall(written))
    if compared.count("x") != variable:
        raise ValueError(f"{country}: '{written}' and '{compared}' differ in their variable digits")
    expression = _VARIABLE.sub(lambda found: f"({'[0-9]' if found[0] == 'x' else found[0]})", written)
    # Not re's expand, which parses its template again at every call: about 90 µs.
    template = compared.replace("x", "{}")
    fixed = re.match("[0-9]*", written)
    prefix = f"+{code}{fixed[0] if fixed else ''}"
    length = 1 + len(code) + len(_VARIABLE.sub("x", written))
    return Rule(country, code, re.compile(rf"\+{code}{expression}"), f"+{code}{template}", NumberRange(prefix, length))
