"""A fast check for most E.164 numbers: is it possible, and would parsing leave it unchanged?

``phonenumbers.parse`` takes tens of microseconds, which is a minute for an import of a million numbers. For a number
that is already in E.164 nearly all of that time is spent on other forms. Three checks against the library's own
metadata of the country code remain: whether a national prefix must be removed, whether the number begins with a
significant zero, and whether its length is possible. If the result is uncertain, the library decides.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import phonenumbers


class _Plan(NamedTuple):
    """One country code's rules: what a national prefix looks like (None: there is none), and the possible lengths."""

    prefix: re.Pattern[str] | None
    lengths: frozenset[int]


def is_plain(e164: str) -> bool:
    """Return whether ``e164`` (``+`` and digits) is certainly a possible number that parsing leaves unchanged.

    False means "ask the library", not "impossible".
    """
    for digits in (1, 2, 3):
        plan = _plan(e164[1 : 1 + digits])
        if plan is not None:
            national = e164[1 + digits :]
            return (
                len(national) in plan.lengths
                and not national.startswith("0")
                and (plan.prefix is None or plan.prefix.match(national) is None)
            )
    return False


@lru_cache(maxsize=2_048)
def _plan(code: str) -> _Plan | None:
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code or 0))
    if regions is None:
        return None
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0])
    if metadata is None or metadata.general_desc is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    return _Plan(
        prefix=None if prefix is None else re.compile(prefix),
        lengths=frozenset(metadata.general_desc.possible_length),
    )
