"""The fast answer for E.164 numbers never contradicts the library."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import phone
from protocol.numbering import is_plain

CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@given(st.sampled_from(CODES), st.text("0123456789", min_size=2, max_size=13))
def test_what_is_plain_is_what_the_library_makes_of_it(code: int, national: str) -> None:
    e164 = f"+{code}{national}"
    if is_plain(e164):
        parsed = phonenumbers.parse(e164)
        assert phonenumbers.is_possible_number(parsed)
        assert phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == e164


@pytest.mark.parametrize("e164", ["+12385551629", "+19876543210", "+442071838750", "+4915123456789", "+33612345678"])
def test_most_numbers_are_plain(e164: str) -> None:
    assert is_plain(e164)
    assert phone.parse_e164(e164) == e164


@pytest.mark.parametrize("e164", ["+390612345678", "+112025550101", "+1238555162", "+999123456", "+", "+0", "+1"])
def test_everything_else_is_left_to_the_library(e164: str) -> None:
    assert not is_plain(e164)


def test_a_word_spelt_as_a_number_is_still_no_caller() -> None:
    assert all(phone.parse_e164(number) is None for number in phone.NO_CALLER_NUMBERS)
