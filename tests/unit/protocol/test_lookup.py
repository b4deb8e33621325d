"""The look-ups' parameters: what is refused, what is only malformed, and what is kept of a blocked caller."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ApiError
from protocol.lookup import UNKNOWN_CALLER, call_tokens, parse_lookup, shown_caller

SEED = {"number_code": "1", "number": "2385551629", "inbound_code": "1", "inbound": "9876543210"}


def test_the_seeds_request() -> None:
    lookup = parse_lookup({**SEED, "caller_id": "8765432109"})
    assert (lookup.called, lookup.caller, lookup.caller_id) == ("+12385551629", "+19876543210", "8765432109")


@pytest.mark.parametrize("name", list(SEED))
@pytest.mark.parametrize("value", [None, ""])
def test_missing_or_empty_is_refused_by_name(name: str, value: str | None) -> None:
    with pytest.raises(ApiError, match=f"Missing required parameter: '{name}'"):
        parse_lookup({**SEED, name: value})


def test_the_first_missing_one_is_named() -> None:
    with pytest.raises(ApiError, match="'number_code'"):
        parse_lookup({})


@pytest.mark.parametrize(
    "value", ["x", "anonymous", "sip:a@b", [1], {"a": 1}, True, 1.5, float("nan"), 10**50, -1, "\ud800"]
)
@pytest.mark.parametrize("name", list(SEED))
def test_malformed_is_no_number_and_no_error(name: str, value: object) -> None:
    lookup = parse_lookup({**SEED, name: value})
    assert (lookup.called is None) is (name in ("number_code", "number"))
    assert (lookup.caller is None) is (name in ("inbound_code", "inbound"))


def test_whole_numbers_count_as_text() -> None:
    assert parse_lookup({**SEED, "number_code": 1, "number": 2385551629}).called == "+12385551629"


def test_names_that_are_not_ours_are_left_alone() -> None:
    assert parse_lookup({**SEED, "CallSid": "CA1", "bodySHA256": "0"}) == parse_lookup(SEED)


def test_a_shown_caller_is_kept_as_given() -> None:
    shown = shown_caller(parse_lookup({**SEED, "inbound": "555-1234", "caller_id": "Unknown Caller"}))
    assert shown == ("Unknown Caller", "+1", "555-1234")


def test_a_number_given_whole_is_taken_apart() -> None:
    assert shown_caller(parse_lookup({**SEED, "inbound": "+1 987 654 3210"})).phone_number == "9876543210"


def test_a_caller_without_name_or_number() -> None:
    assert shown_caller(parse_lookup({**SEED, "inbound": "anonymous", "inbound_code": "x"})) == (
        UNKNOWN_CALLER,
        "",
        "anonymous",
    )


@given(st.text(min_size=1), st.text(min_size=1), st.text())
def test_what_is_kept_is_short_and_printable(code: str, inbound: str, caller_id: str) -> None:
    shown = shown_caller(parse_lookup({**SEED, "inbound_code": code, "inbound": inbound, "caller_id": caller_id}))
    assert all(part.isprintable() and len(part) <= 100 for part in shown)
    assert "".join(shown).encode()


def test_what_repeats_are_known_by() -> None:
    assert call_tokens("t", "CA1") == ("token:t", "call:CA1")
    assert call_tokens(None, "") == ()
    assert call_tokens("t" * 129, ["CA1"]) == ()
