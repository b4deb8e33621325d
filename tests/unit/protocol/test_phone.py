"""Numbers as people, imports and Twilio write them, and what becomes of each."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import phone


@pytest.mark.parametrize(
    ("code", "number", "e164"),
    [
        ("1", "2385551629", "+12385551629"),
        ("1", "9876543210", "+19876543210"),
        ("1", "(238) 555-16.29", "+12385551629"),
        ("1", "+12385551629", "+12385551629"),
        ("1", "+1 (238) 555-1629", "+12385551629"),
        ("39", "0612345678", "+390612345678"),
        ("225", "0712345678", "+2250712345678"),
        ("44", "20 7183 8750", "+442071838750"),
        ("1", "555-1234", "+15551234"),
        *[(code, "2385551629", "+12385551629") for code in ("+1", "001", "01", " 1", "011 1", "0111", "00 1", "+ 1")],
        ("0044", "20 7183 8750", "+442071838750"),
        ("+39", "0612345678", "+390612345678"),
        # It begins with its own code, and behind it it would be impossible.
        ("1", "12385551629", "+12385551629"),
        ("44", "442071838750", "+442071838750"),
        ("44", " 442071838750", "+442071838750"),  # an unescaped plus
        ("44", "0044 20 7183 8750", "+442071838750"),
        ("1", "011 1 238 555 1629", "+12385551629"),
        # As the number was written under an earlier plan.
        ("52", "1 55 1234 5678", "+5215512345678"),
        ("225", "07123456", "+22507123456"),
        ("229", "+229 97 12 34 56", "+22997123456"),
    ],
)
def test_possible_numbers_become_e164(code: str, number: str, e164: str) -> None:
    assert phone.normalise(code, number) == e164


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("123", "9876543210"),  # the seed's own call-lookup example: +1 239876543210 is too long
        ("456", "9876543210"),
        ("44", "+12385551629"),  # complete by itself, and of another country
        ("0", "2385551629"),
        ("011", "2385551629"),  # what is dialled before a code, without one
        ("11", "2385551629"),
        ("111", "2385551629"),
        ("+", "2385551629"),
        ("++1", "2385551629"),
        ("1+", "2385551629"),
        ("-1", "2385551629"),
        ("1" + " " * 16, "2385551629"),
        ("", "2385551629"),
        ("44", "012385551629"),
        ("44", "229 97123456"),
        ("1", ""),
        ("1", "   "),
        ("1", "...."),
        ("1", "23+85551629"),
        ("1", "(+1) 2385551629"),
        ("1", "2385551629x12"),
        ("1", "2385551629;ext=1"),
        ("1", "tel:2385551629"),
        ("1", "٢٣٨٥٥٥١٦٢٩"),  # digits, but not ASCII
        ("１", "2385551629"),
        ("1", "2385551629\n"),
        ("1", "2385551629\x00"),
        ("1", "2" * 41),
        ("1", "2385551629" + " " * 31),
        ("999", "12345678"),
        ("1", "1"),
    ],
)
def test_anything_else_is_no_number(code: str, number: str) -> None:
    assert phone.normalise(code, number) is None


@pytest.mark.parametrize(
    "text",
    [
        *("anonymous", "Anonymous", "RESTRICTED", "unavailable", "Unknown", "blocked", "", " "),
        *("sip:bob@example.org", "client:person_7"),
        *("+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"),
    ],
)
def test_values_that_say_that_there_is_no_caller(text: str) -> None:
    assert phone.is_no_caller(text)
    assert phone.parse_e164(text) is None
    assert phone.normalise("1", text) is None


def test_a_word_spelt_on_the_keys_is_no_number_whatever_its_country() -> None:
    assert phone.normalise("86", "282452253") is None  # UNAVAILABLE, a possible number of Chengdu


def test_a_number_is_a_caller() -> None:
    assert not phone.is_no_caller("+12385551629")


@given(st.text(max_size=50), st.text(max_size=50))
def test_no_text_makes_it_raise(code: str, number: str) -> None:
    found = phone.normalise(code, number)
    assert found is None or phone.parse_e164(found) == found


@given(
    st.sampled_from(["1", "44", "39", "49", "91", "86", "7"]),
    st.text(alphabet="0123456789+().- ", min_size=1, max_size=phone.MAX_NUMBER_CHARACTERS)
    | st.text(alphabet="0123456789", min_size=4, max_size=14),
)
def test_the_library_decides(code: str, number: str) -> None:
    """Against the rule as the specification states it, word by word, in countries whose plan has no earlier forms."""
    number = number.strip(" ")
    whole = number.startswith("+")
    expected = _as_the_library_has_it(number if whole else f"+{code} {number}", code)
    for dialled in ("", "00", "011"):
        digits = "".join(each for each in number if each in "0123456789+")
        if expected is None and not whole and digits.startswith(dialled + code):
            expected = _as_the_library_has_it(f"+{digits[len(dialled) :]}", code)
            break
    assert phone.normalise(code, number) == (None if expected in phone.NO_CALLER_NUMBERS else expected)


def _as_the_library_has_it(text: str, code: str) -> str | None:
    try:
        parsed = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    if parsed.country_code != int(code) or not phonenumbers.is_possible_number(parsed):
        return None
    e164: str = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return e164


@pytest.mark.parametrize(
    "text", ["12385551629", "+1 2385551629", "+0123456789", "+", "+1", "+١٢٣٤٥٦٧٨٩٠", "+1" + "2" * 15]
)
def test_parse_e164_takes_nothing_but_e164(text: str) -> None:
    assert phone.parse_e164(text) is None


@pytest.mark.parametrize(
    ("e164", "parts"),
    [
        ("+12385551629", ("1", "2385551629")),
        ("+390612345678", ("39", "0612345678")),
        ("+2250712345678", ("225", "0712345678")),
        ("+442071838750", ("44", "2071838750")),
    ],
)
def test_split_keeps_leading_zeros(e164: str, parts: tuple[str, str]) -> None:
    assert phone.split(e164) == parts
    code, number = parts
    assert phone.normalise(code, number) == e164


@pytest.mark.parametrize("text", ["", "2385551629", "+0", "+999 1", "+99912345678"])
def test_split_refuses_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"E\.164"):
        phone.split(text)


@pytest.mark.parametrize(
    "text",
    [
        *("+5215512345678", "+525512345678", "+5491123456789", "+541123456789", "+54111523456789"),
        *("+551187654321", "+5511987654321", "+22507123456", "+2250707123456", "+22997123456", "+2290197123456"),
    ],
)
def test_numbers_of_an_earlier_plan_stay_as_they_are_written(text: str) -> None:
    assert phone.parse_e164(text) == text
    assert phone.normalise(*phone.split(text)) == text


@pytest.mark.parametrize("text", ["+22577", "+229971234567", "+52155123456789", "+390039"])
def test_what_no_plan_had_is_no_number(text: str) -> None:
    assert phone.parse_e164(text) is None


def test_a_masked_number_shows_neither_whole_number_nor_subscriber() -> None:
    assert phone.mask("+12385551629") == "+1…29"
    assert phone.mask("911") == "…"
