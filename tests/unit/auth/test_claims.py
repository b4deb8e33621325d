"""The claims of identity providers' tokens: paths, lists, tokens without an audience, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from server.auth.claims import (
    Provider,
    caller_of,
    check_audience,
    check_person,
    claim_at,
    names_in,
    person_in,
    refusing,
)
from server.auth.refusals import BadToken, RefusalReason

PROVIDER = Provider("jwks.json", "https://login.example", "buzz")
CLAIMS = {"iss": "https://login.example", "aud": "buzz", "sub": "456", "exp": 2_000_000_000, "iat": 1_700_000_000}
NOW_S = 1_720_000_000.0


@pytest.mark.parametrize(
    ("path", "claims", "found"),
    [
        ("sub", {"sub": "456"}, "456"),
        ("buzz.person_id", {"buzz": {"person_id": 456}}, 456),
        ("a.b.c", {"a": {"b": {"c": 1}}}, 1),
        (r"https://buzz\.example/person", {"https://buzz.example/person": 456}, 456),
        (r"https://buzz\.example.person", {"https://buzz.example": {"person": 456}}, 456),
        ("https://buzz.example/person", {"https://buzz.example/person": 456}, 456),
        ("https://buzz.example/person", {"https://buzz": {"example/person": 456}}, 456),
        ("a.b", {"a.b": 1, "a": {"b": 2}}, 1),
        (r"a\.b", {"a": {"b": 2}}, None),
        ("a.b", {"a": "text"}, None),
        ("a.b", {"a": [{"b": 1}]}, None),
        ("a", {}, None),
    ],
)
def test_a_claim_is_found_by_its_name_or_its_path(path: str, claims: dict[str, Any], found: object) -> None:
    assert claim_at(claims, path) == found


def test_a_backslash_keeps_a_dot_in_its_name() -> None:
    assert names_in(r"https://buzz\.example/a.b\.c.d") == ["https://buzz.example/a", "b.c", "d"]


@pytest.mark.parametrize(
    ("value", "person"),
    [
        (456, 456), ("456", 456), ("person:456", 456), ([456], 456), (["456"], 456),
        ([], None), ([456, 7], None), ([[456]], None), (None, None), ("", None), (0, None), (-1, None), (True, None),
        ([True], None), ("0456", None), (456.0, None), ({"id": 456}, None), (2**63, None), ("auth0|456", None),
    ],
)  # fmt: skip
def test_the_person_is_a_number_a_text_or_the_only_value_of_a_list(value: object, person: int | None) -> None:
    provider = Provider("jwks.json", "i", "a", person_claim="uid")
    claims = {} if value is None else {"uid": value}
    assert person_in(claims, provider) == person
    assert check_person(claims, provider).reason is (None if person else RefusalReason.PERSON)


@pytest.mark.parametrize(
    ("claims", "settings", "accepted"),
    [
        ({"aud": "buzz"}, {}, True),
        ({"aud": ["account", "buzz"]}, {}, True),
        ({"aud": "account"}, {}, False),
        ({"aud": []}, {}, False),
        ({"aud": "buzz2"}, {}, False),
        ({"aud": {"buzz": 1}}, {}, False),
        ({}, {}, False),
        ({"client_id": "buzz"}, {}, False),
        ({"client_id": "buzz"}, {"client_claim": "client_id"}, True),
        ({"client_id": "other"}, {"client_claim": "client_id"}, False),
        ({"client_id": ["buzz"]}, {"client_claim": "client_id"}, False),
        ({}, {"client_claim": "client_id"}, False),
        ({"azp": "ios"}, {"client_claim": "azp", "client_ids": ("ios", "web")}, True),
        ({"azp": "buzz"}, {"client_claim": "azp", "client_ids": ("ios", "web")}, False),
        # A token that was made for another service stays refused, whoever asked for it.
        ({"aud": "account", "azp": "buzz"}, {"client_claim": "azp"}, False),
        ({"aud": "", "azp": "buzz"}, {"client_claim": "azp"}, False),
        ({"aud": [], "azp": "buzz"}, {"client_claim": "azp"}, False),
    ],
)
def test_the_audience_counts_and_the_client_only_without_one(
    claims: dict[str, Any], settings: dict[str, Any], accepted: bool
) -> None:
    provider = Provider("jwks.json", "i", "buzz", **settings)
    assert (check_audience(claims, provider).reason is None) is accepted


@pytest.mark.parametrize(
    ("changed", "reason", "says"),
    [
        ({"iss": None}, RefusalReason.ISSUER, "there is no iss"),
        ({"iss": ["https://login.example"]}, RefusalReason.ISSUER, 'iss is ["https://login.example"]'),
        ({"aud": "x" * 10_000}, RefusalReason.AUDIENCE, "…"),
        ({"exp": None}, RefusalReason.CLAIMS, "there is no exp"),
        ({"exp": True}, RefusalReason.CLAIMS, "exp is true"),
        ({"exp": -1}, RefusalReason.CLAIMS, "exp is -1"),
        ({"exp": 2.0**60}, RefusalReason.CLAIMS, "must be a time"),
        ({"nbf": NOW_S + 31}, RefusalReason.NOT_YET_VALID, "nbf is 2024-"),
        (
            {"sub": None},
            RefusalReason.PERSON,
            'sub is missing, and must be a person\'s id; the token has "aud, exp, iat, iss"',
        ),
        ({"sub": {"id": 456}}, RefusalReason.PERSON, "sub is an object"),
        ({"sub": ["a", "b"]}, RefusalReason.PERSON, "sub is a list of 2 values"),
        ({"sub": "jane@example.com"}, RefusalReason.PERSON, "sub is a text of 16 characters"),
        ({"sub": -1}, RefusalReason.PERSON, "sub is a number that is no id"),
    ],
)
def test_a_claim_that_does_not_fit_is_named(changed: dict[str, Any], reason: RefusalReason, says: str) -> None:
    claims = {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}
    with pytest.raises(BadToken) as refused:
        caller_of("token", claims, PROVIDER, "key", NOW_S)
    assert refused.value.reason is reason
    assert says in str(refused.value)
    assert len(str(refused.value)) < 500
    assert "jane@example.com" not in str(refused.value)


def test_a_token_that_fits_is_its_persons() -> None:
    caller = caller_of("token", {**CLAIMS, "nbf": NOW_S + 30, "jti": 17}, PROVIDER, "key", NOW_S)
    assert (caller.person_id, caller.token_id, caller.key) == (456, "17", "key")
    assert [finding.claim for finding in refusing(CLAIMS, PROVIDER, NOW_S)] == ["iss", "aud", "exp", "nbf", "person"]


def test_a_time_that_no_date_can_write_is_a_number() -> None:
    finding = next(each for each in refusing({**CLAIMS, "exp": 2**42}, PROVIDER, NOW_S) if each.claim == "exp")
    assert (finding.text, finding.reason) == ("4.39805e+12", None)
