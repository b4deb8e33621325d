"""The table of rules: each written form is compared as its line, and no rule makes two subscribers one.

The second is proved rather than sampled. A rule rewrites numbers; only if a rewritten number is somebody's today could
two subscribers come to share a key. So every rule is held against every pattern of valid numbers that the library's
metadata has for its country: there must be no number that fits both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from re import _constants as token  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumberType

from protocol import phone
from protocol.match_key import Rule, match_key, own_key, rules

DIGITS = frozenset("0123456789")


@pytest.mark.parametrize(
    ("forms", "key"),
    [
        (("+5215512345678", "+525512345678"), "+525512345678"),
        (("+5491123456789", "+541123456789", "+54111523456789"), "+541123456789"),
        (("+5493511234567", "+543511234567", "+54351151234567"), "+543511234567"),
        (("+5492966123456", "+542966123456", "+54296615123456"), "+542966123456"),
        (("+551187654321", "+5511987654321"), "+5511987654321"),
        (("+22507123456", "+2250707123456"), "+2250707123456"),
        (("+22544123456", "+2250544123456"), "+2250544123456"),
        (("+22550123456", "+2250150123456"), "+2250150123456"),
        (("+22520212223", "+2252720212223"), "+2252720212223"),
        (("+22520002223", "+2252520002223"), "+2252520002223"),
        (("+22520812223", "+2252120812223"), "+2252120812223"),
        (("+22997123456", "+2290197123456"), "+2290197123456"),
        (("+841207654321", "+84707654321"), "+84707654321"),
        (("+841687654321", "+84387654321"), "+84387654321"),
        (("+841887654321", "+84587654321"), "+84587654321"),
        (("+24106111111", "+24166111111"), "+24166111111"),
        (("+24107280150", "+24177280150"), "+24177280150"),
        (("+24101123456", "+24111123456"), "+24111123456"),
    ],
)
def test_the_forms_of_one_line_have_one_key(forms: tuple[str, ...], key: str) -> None:
    assert {match_key(form) for form in forms} == {key}
    assert own_key(key) is None
    assert all(own_key(form) == key for form in forms if form != key)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+551132345678", "+5511932345678"),  # eight digits that begin with 3 are a fixed line
        ("+390612345678", "+39612345678"),  # Italy's zero belongs to the number
        ("+12025550101", "+12025550102"),
    ],
)
def test_two_subscribers_have_two_keys(one: str, other: str) -> None:
    assert match_key(one) != match_key(other)


def test_what_is_no_number_is_left_alone() -> None:
    assert [match_key(text) for text in ("", "+", "anonymous", "+52155123456789", "5215512345678")] == [
        *("", "+", "anonymous", "+52155123456789", "5215512345678")
    ]


# Numbers that the metadata calls valid although they are the same line as another: an official document says so.
ALSO_WRITTEN = {
    "54": "a mobile is valid with its 9; without it the metadata takes it for a fixed line of the same digits",
    "55": "eight digits with 7 were trunked radio, which has ended; the metadata still has them",
    "241": "the eight digits with 0 have been off since 2024; the metadata still has them",
}


@pytest.mark.parametrize("rule", [rule for rule in rules() if rule.code not in ALSO_WRITTEN], ids=str)
def test_no_rule_rewrites_a_number_that_is_somebodys(rule: Rule) -> None:
    for pattern in _valid(rule.code):
        number = _common(_classes(rule), _tree(pattern))
        assert number is None, f"{rule.country}: +{rule.code} {number} is a number of today"


@pytest.mark.parametrize("rule", [rule for rule in rules() if rule.code in ALSO_WRITTEN], ids=str)
def test_the_exceptions_are_needed_for_no_other_number(rule: Rule) -> None:
    """What is rewritten though it is valid are Argentina's mobiles, Brazil's trunked radio, Gabon's old numbers."""
    ours = {"54": r"9[123]\d{9}", "55": r"[1-9]{2}7\d{7}", "241": r"0[124-7]\d{6}"}[rule.code]
    for pattern in _valid(rule.code):
        number = _common(_classes(rule), _tree(pattern))
        assert number is None or re.fullmatch(ours, number), number


@pytest.mark.parametrize("one", rules(), ids=str)
def test_no_two_rules_rewrite_to_the_same_number(one: Rule) -> None:
    """But for Argentina's, whose 9 and 15 are two forms of the same line."""
    for other in rules():
        if other is not one and other.code == one.code and one.code != "54":
            ours, theirs = _compared(one), _compared(other)
            assert len(ours) != len(theirs) or not all(a & b for a, b in zip(ours, theirs, strict=True)), other


@pytest.mark.parametrize("rule", rules(), ids=str)
def test_a_key_is_a_possible_number_and_its_own_key(rule: Rule) -> None:
    @given(st.tuples(*(st.sampled_from(sorted(each)) for each in _classes(rule))))
    def check(digits: tuple[str, ...]) -> None:
        number = f"+{rule.code}{''.join(digits)}"
        key = match_key(number)
        assert key != number
        assert match_key(key) == key
        assert phone.parse_e164(key) == key
        assert phone.parse_e164(number) == number

    check()


def test_no_two_example_numbers_of_all_countries_share_a_key() -> None:
    """But for Argentina's mobiles, which are their fixed lines with a 9."""
    found: dict[str, str] = {}
    for number in _examples():
        assert found.setdefault(match_key(number), number) == number or number.startswith("+549")
    assert len(found) > 900


def _examples() -> Iterator[str]:
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in PhoneNumberType.values():
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                yield phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _valid(code: str) -> Iterator[str]:
    """The patterns of valid national numbers, of every region with this country code and every type."""
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]:
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
        assert metadata is not None
        kinds = ("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "uan")
        for kind in (*kinds, "pager", "voicemail"):
            described = getattr(metadata, kind)
            if described is not None and described.national_number_pattern:
                yield described.national_number_pattern


def _classes(rule: Rule) -> list[frozenset[str]]:
    """The digits that may stand at each place of what a rule rewrites, without the country code."""
    return [_only(node) for node in _tree(rule.written.pattern.removeprefix(rf"\+{rule.code}"))[1]]


def _compared(rule: Rule) -> list[frozenset[str]]:
    """The digits that may stand at each place of what a rule makes of it."""
    variable = iter([each for each in _classes(rule) if len(each) > 1])
    places = re.findall(r"\{\}|[0-9]", rule.compared.removeprefix(f"+{rule.code}"))
    return [next(variable) if len(place) > 1 else frozenset(place) for place in places]


# A pattern as a tree: ("all", parts) in sequence, ("any", parts) of which one, ("of", digits), of which one digit.
Tree = tuple[str, Any]
EMPTY: Tree = ("all", ())
NEVER: Tree = ("any", ())


def _only(node: Tree) -> frozenset[str]:
    while node[0] == "all" and len(node[1]) == 1:
        node = node[1][0]
    assert node[0] == "of"
    return frozenset(node[1])


@cache
def _tree(pattern: str) -> Tree:
    return _sequence(_of(kind, value) for kind, value in parser.parse(pattern))


def _sequence(parts: Iterator[Tree]) -> Tree:
    return ("all", tuple(part for part in parts if part != EMPTY))


def _of(kind: Any, value: Any) -> Tree:
    if kind is token.LITERAL:
        return ("of", chr(value))
    if kind is token.IN:
        return ("of", "".join(sorted(_members(value))))
    if kind is token.SUBPATTERN:
        return _sequence(_of(*each) for each in value[3])
    if kind is token.BRANCH:
        return ("any", tuple(_sequence(_of(*each) for each in part) for part in value[1]))
    assert kind is token.MAX_REPEAT, kind
    least, most, part = value
    once = _sequence(_of(*each) for each in part)
    some: Tree = EMPTY
    for _ in range(most - least):
        some = ("any", (EMPTY, _sequence(iter((once, some)))))
    return _sequence(iter([*[once] * least, some]))


def _members(value: Any) -> Iterator[str]:
    for kind, each in value:
        if kind is token.LITERAL:
            yield chr(each)
        elif kind is token.RANGE:
            yield from map(chr, range(each[0], each[1] + 1))
        else:
            assert (kind, each) == (token.CATEGORY, token.CATEGORY_DIGIT)
            yield from DIGITS


@cache
def _may_end(tree: Tree) -> bool:
    kind, parts = tree
    return kind != "of" and (all if kind == "all" else any)(_may_end(part) for part in parts)


@cache
def _behind(tree: Tree, digit: str) -> Tree:
    """What may follow once ``digit`` was read (Brzozowski, Derivatives of Regular Expressions, 1964)."""
    kind, parts = tree
    if kind == "of":
        return EMPTY if digit in parts else NEVER
    if kind == "any":
        found = dict.fromkeys(_behind(part, digit) for part in parts)
        return ("any", tuple(each for each in found if each != NEVER))
    ways = []
    for place, part in enumerate(parts):
        rest = _behind(part, digit)
        if rest != NEVER:
            ways.append(_sequence(iter((rest, *parts[place + 1 :]))))
        if not _may_end(part):
            break
    return ("any", tuple(ways)) if ways else NEVER


@cache
def _found(classes: tuple[frozenset[str], ...], tree: Tree) -> str | None:
    if not classes:
        return "" if _may_end(tree) else None
    for digit in sorted(classes[0]):
        rest = _behind(tree, digit)
        end = None if rest == NEVER else _found(classes[1:], rest)
        if end is not None:
            return digit + end
    return None


def _common(classes: list[frozenset[str]], tree: Tree) -> str | None:
    """A number that fits both, or None if there is none at all."""
    return _found(tuple(classes), tree)


def test_the_proof_finds_a_number_where_there_is_one() -> None:
    """The walk through two patterns itself, against numbers that the library calls valid."""
    for region in ("DE", "GB", "CI", "VN", "IT"):
        example = phonenumbers.example_number(region)
        assert example is not None
        national = phonenumbers.national_significant_number(example)
        classes = [frozenset(digit) for digit in national]
        fits = [_common(classes, _tree(pattern)) for pattern in _valid(str(example.country_code))]
        assert national in fits
    assert _common([DIGITS] * 3, _tree("1(?:2|3[45]?)|[67]{4}")) == "134"
    assert _common([DIGITS] * 5, _tree("1(?:2|3[45]?)|[67]{4}")) is None
