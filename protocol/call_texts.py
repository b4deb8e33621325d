"""The texts that callers of the privacy line hear, with language and voice, by called line and service code.

English and Spanish come with Buzz (``call_texts.toml``); an operator's TOML file changes them. No I/O.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from protocol.phone import parse_e164
from protocol.twiml import Speech

MAX_TEXT_CHARACTERS: Final = 4_096
"""Twilio's limit for one <Say>: https://www.twilio.com/docs/voice/twiml/say#limits"""

TEXTS: Final = ("greeting", "again", "unknown", "goodbye", "speak", "thanks")
SHIPPED_LANGUAGE: Final = "en"

_SHIPPED: Final = Path(__file__).with_name("call_texts.toml")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Z]{2}|-[0-9]{3})?")
_VOICE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}(\.[A-Za-z0-9_-]{1,64})?")
_CODE: Final = re.compile(r"[0-9]{1,32}")
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

Section = Mapping[str, str]
"""Some of a ``Texts``' fields by name: what one table of the file says."""


class CallTextsError(ValueError):
    """The texts can't be used; the message names the wrong key and says what was expected."""


@dataclass(frozen=True, slots=True)
class Texts:
    """All texts of a call. ``language``: a tag like ``es-MX``; ``voice``: Twilio's name of a voice, "" for its default.

    In the order in which they are spoken: ``greeting`` asks for a service code, ``again`` asks once more (after
    ``unknown``, if a code was dialled), ``goodbye`` ends a call without a code; ``speak`` comes before the tone,
    ``thanks`` after the message.
    """

    language: str
    voice: str
    greeting: str
    again: str
    unknown: str
    goodbye: str
    speak: str
    thanks: str

    def speech(self, text: str) -> Speech:
        """Return one of the texts, with their language and voice."""
        return Speech(text, self.language, self.voice)


class CallTexts:
    """The texts by line and by service code, each built once."""

    def __init__(self, default: Section, lines: Mapping[str, Section], codes: Mapping[str, Section]) -> None:
        """``lines`` by E.164 number, ``codes`` by service code."""
        self._default = default
        self._lines = lines
        self._codes = codes

    def of(self, line: str, code: str = "") -> Texts:
        """Return the texts for a call to this number (as Twilio writes it), for a service code if it is known."""
        said = shipped()[SHIPPED_LANGUAGE]
        for section in (self._default, self._lines.get(parse_e164(line) or ""), self._codes.get(code)):
            said = _over(said, section or {})
        return Texts(**{"voice": "", **said})


def read_call_texts(text: str) -> CallTexts:
    """Read an operator's file: the tables ``default``, ``lines."+18005550100"`` and ``codes."57"``.

    Raises CallTextsError.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CallTextsError(f"is not valid TOML: {error}") from error
    for name in found:
        if name not in ("default", "lines", "codes"):
            raise CallTextsError(f"there is no table '{name}': there are default, lines and codes")
    lines = {_line(name): _section(f'lines."{name}"', each) for name, each in _table("lines", found).items()}
    codes = {_code(name): _section(f'codes."{name}"', each) for name, each in _table("codes", found).items()}
    return CallTexts(_section("default", found.get("default", {})), lines, codes)


@cache
def shipped() -> Mapping[str, Section]:
    """Return the texts that come with Buzz, by the first part of their language tag."""
    return tomllib.loads(_SHIPPED.read_text("utf-8"))


def _over(below: Section, section: Section) -> Section:
    """Merge both, with ``section`` before ``below``.

    A text is spoken only in its own language, by a voice of that language: if the language changes, the texts that come
    with Buzz replace those of ``below``.
    """
    language = section.get("language", below["language"])
    if _primary(language) != _primary(below["language"]):
        below = shipped().get(_primary(language), {})
    elif language != below["language"]:
        below = {name: text for name, text in below.items() if name != "voice"}
    return {**below, **section}


def _section(where: str, found: object) -> Section:
    if not isinstance(found, dict):
        raise CallTextsError(f"{where} should be a table")
    for name, value in found.items():
        if name not in ("language", "voice", *TEXTS):
            raise CallTextsError(f"{where}: there is no '{name}': there are language, voice, {', '.join(TEXTS)}")
        if not isinstance(value, str):
            raise CallTextsError(f"{where}.{name} should be a text in quotes")
        _check(f"{where}.{name}", name, value)
    _check_whole(where, found)
    return found


def _check(where: str, name: str, value: str) -> None:
    if name == "language":
        if _LANGUAGE.fullmatch(value) is None:
            raise CallTextsError(f"{where} should be a language like en-US or es-MX")
    elif name == "voice":
        if _VOICE.fullmatch(value) is None:
            raise CallTextsError(f"{where} should be the name of a voice of Twilio's, like Polly.Lupe-Neural")
    elif not value.strip():
        raise CallTextsError(f"{where} should not be empty")
    elif len(value) > MAX_TEXT_CHARACTERS:
        raise CallTextsError(f"{where} has {len(value)} characters: Twilio says at most {MAX_TEXT_CHARACTERS}")
    elif _NOT_XML.search(value):
        raise CallTextsError(f"{where} has a control character")


def _check_whole(where: str, section: Section) -> None:
    language = section.get("language")
    if language is None or _primary(language) in shipped():
        return
    missing = [name for name in TEXTS if name not in section]
    if missing:
        raise CallTextsError(
            f"{where}.language is {language}, for which Buzz has no texts: it needs {', '.join(missing)} as well"
        )


def _table(name: str, found: Mapping[str, Any]) -> Mapping[str, object]:
    table = found.get(name, {})
    if not isinstance(table, dict):
        raise CallTextsError(f"{name} should be a table of tables")
    return table


def _line(name: str) -> str:
    number = parse_e164(name)
    if number is None:
        raise CallTextsError(f'lines."{name[:64]}" should be a number like lines."+18005550100"')
    return number


def _code(name: str) -> str:
    if _CODE.fullmatch(name) is None:
        raise CallTextsError(f'codes."{name[:64]}" should be a code of digits: no other can be dialled')
    return name


def _primary(language: str) -> str:
    return language.partition("-")[0]
