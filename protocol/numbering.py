"""A fast answer for most E.164 numbers: is it possible, and would parsing leave it as it is?

``phonenumbers.parse`` takes tens of microseconds, which is a minute for an import of a million numbers. For a number
that is written in E.164 already nearly all of that is spent on forms it does not have. What remains is three questions
to the library's own metadata of its country code: does a national prefix have to come off, does the number begin with a
zero that means something, and is its length a possible one. Where the answer is not a clear yes, the library decides.
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
    """Whether ``e164`` (``+`` and digits) is surely a possible number that parsing gives back unchanged.

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
