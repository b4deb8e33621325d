"""Telephone numbers: converts what a caller, an import or Twilio wrote to one E.164 string, or to "no number".

Everything that is stored is E.164 (``+12385551629``), and compared by its match key (``match_key.py``). Parsing is done
by the ``phonenumbers`` library (Google's libphonenumber) and a number must be *possible*, not *valid*: the fictional
numbers of examples and tests are possible and never valid. A number that was possible under an earlier numbering plan
is accepted too, as it is written. A parse takes about 20 µs, so results are cached.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

import phonenumbers

from protocol.match_key import match_key
from protocol.numbering import is_plain

MAX_NUMBER_CHARACTERS: Final = 40
"""Longest number as written. E.164 has 15 digits; the rest is room for punctuation."""

_MAX_CODE_CHARACTERS: Final = 16
_CODE: Final = re.compile(r"[1-9][0-9]{0,2}")
_PUNCTUATION: Final = str.maketrans("", "", " .-()")
_NUMBER: Final = re.compile(r"[0-9+().\- ]+")
_E164: Final = re.compile(r"\+[1-9][0-9]{1,14}")

# Several times as many as the numbers called within minutes on one node, at about 300 bytes each.
_CACHED_NUMBERS: Final = 32_768
_CACHED_CODES: Final = 1_024

NO_CALLER_WORDS: Final = frozenset({"anonymous", "restricted", "blocked", "unknown", "unavailable", "private"})
"""What networks write in place of a caller's number, in lower case."""

_KEYS: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")

NO_CALLER_NUMBERS: Final = frozenset(f"+{word.translate(_KEYS)}" for word in NO_CALLER_WORDS)
"""The same words spelt on a telephone's keys, which is how Twilio puts them into ``From``: ``+266696687``."""

_NO_CALLER_SCHEMES: Final = ("sip:", "sips:", "client:", "whatsapp:", "messenger:", "sim:")


class CallableNumber(NamedTuple):
    """An E.164 number in the two parts an app shows: ``country_code`` without ``+``, and the national ``number``."""

    country_code: str
    number: str


def is_no_caller(text: str) -> bool:
    """Return whether ``text`` says that the caller has no number (``anonymous``, ``sip:…``)."""
    lowered = text.strip().lower()
    return (
        not lowered
        or lowered in NO_CALLER_WORDS
        or lowered in NO_CALLER_NUMBERS
        or lowered.startswith(_NO_CALLER_SCHEMES)
    )


def country_code(text: str) -> str | None:
    """Return the country code that ``text`` means: one to three digits, the first not zero; None if it is none.

    People write ``1`` as ``+1``, ``001``, ``01`` or ``011 1`` (how North America dials abroad), and a ``+`` that is not
    escaped in a query arrives as a space. A code in the right form that no country has is returned unchanged.
    """
    return None if len(text) > _MAX_CODE_CHARACTERS else _country_code(text)


@lru_cache(maxsize=_CACHED_CODES)
def _country_code(text: str) -> str | None:
    digits = text.replace(" ", "").removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return None
    code = digits.lstrip("0")
    if code != digits and code.startswith("11") and _is_in_use(code[2:]):
        return code[2:]
    return code if _CODE.fullmatch(code) else None


def normalise(code: str, number: str) -> str | None:
    """Return the E.164 form of a country code and a number, or None if that is no possible number.

    ``code`` is read by :func:`country_code`. A ``number`` with a leading ``+`` is complete by itself and its country
    code must be ``code``; any other is parsed as ``+code number``. If that is impossible and the number begins with the
    code itself, it counts as complete. Digits are ASCII digits. "No caller" values give None, never an error.
    """
    if len(number) > MAX_NUMBER_CHARACTERS or len(code) > _MAX_CODE_CHARACTERS:
        return None  # too long even for the cache
    return _normalise(code, number)


@lru_cache(maxsize=_CACHED_NUMBERS)
def _normalise(written_code: str, number: str) -> str | None:
    code = country_code(written_code)
    if code is None or not _is_in_use(code):
        return None
    # Digits alone are nearly always E.164 without its plus.
    plain = f"+{code}{number}"
    if number.isascii() and number.isdigit() and is_plain(plain):
        return None if plain in NO_CALLER_NUMBERS else plain
    number = number.strip(" ")
    if _NUMBER.fullmatch(number) is None:
        return None
    if number.startswith("+"):
        return _possible(number, required_code=code)
    return _possible(f"+{code} {number}") or _complete(code, number)


def _complete(code: str, number: str) -> str | None:
    """Parse a number that repeats its country code, with or without a dialling prefix: ``44 20…``, ``0044 20…``."""
    digits = number.translate(_PUNCTUATION)
    for dialled in ("", "00", "011"):
        if digits.startswith(dialled + code):
            return _possible(f"+{digits[len(dialled) :]}", required_code=code)
    return None


def _possible(text: str, required_code: str | None = None) -> str | None:
    """Return ``text`` (``+`` and characters of a number) as E.164, if it is or was a possible number."""
    e164 = _as_it_was(text) or _parsed(text)
    if e164 is None or e164 in NO_CALLER_NUMBERS:
        return None
    if required_code is not None and split(e164).country_code != required_code:
        return None
    return e164


def _as_it_was(text: str) -> str | None:
    """Return a number of an earlier plan as it is written: its match key is today's number."""
    e164 = f"+{text.translate(_PUNCTUATION).removeprefix('+')}"
    key = match_key(e164)
    return e164 if key != e164 and _parsed(key) == key else None


def _parsed(text: str) -> str | None:
    try:
        parsed = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    e164: str = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return e164


@lru_cache(maxsize=_CACHED_NUMBERS)
def parse_e164(text: str) -> str | None:
    """Return ``text`` itself if it is a possible number in E.164 (only ``+`` and digits), otherwise None.

    For input that must be E.164: the directory, the number pool, Twilio's ``From`` and ``To``. A number that was
    possible under an earlier numbering plan is one too.
    """
    if _E164.fullmatch(text) is None:
        return None
    if is_plain(text):
        return None if text in NO_CALLER_NUMBERS else text
    return _possible(text)


def parse_international(text: str) -> str | None:
    """Parse a number from an address book to E.164: ``+`` and digits, with or without punctuation.

    None for a number without a country code (``311``) and for everything else that can't be called internationally.
    """
    if len(text) > MAX_NUMBER_CHARACTERS:
        return None
    found = parse_e164(text)
    if found is None and text.startswith("+") and _NUMBER.fullmatch(text):
        found = _possible(text)
    return found


@lru_cache(maxsize=_CACHED_NUMBERS)
def split(e164: str) -> CallableNumber:
    """Split an E.164 number into country code and national number, with leading zeros kept.

    Raises ValueError for text that is no E.164 number.
    """
    if _E164.fullmatch(e164) is None:
        raise ValueError("not an E.164 number: expected '+' and 2 to 15 digits")
    try:
        code = str(phonenumbers.parse(e164).country_code)
    except phonenumbers.NumberParseException as error:
        raise ValueError("an E.164 number begins with a country code that is in use") from error
    return CallableNumber(code, e164[1 + len(code) :])


def _is_in_use(code: str) -> bool:
    return _CODE.fullmatch(code) is not None and int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE


def mask(text: str) -> str:
    """Return a number as logs may show it: the first two and the last two characters (``+1…29``)."""
    return f"{text[:2]}…{text[-2:]}" if len(text) > 7 else "…"
