"""Whose name the network gave."""

from __future__ import annotations

import pytest

from server.services.calls.decisions import is_name_of


@pytest.mark.parametrize(
    ("name", "caller_name", "company", "is_it"),
    [
        ("Bob Ray", "BOB RAY", False, True),
        ("Bob Ray", "RAY,BOB", False, True),
        ("Bob Ray", "RAY", False, True),
        ("Bob Ray", "BOB RAY JR", False, False),
        ("Bob Ray", "BO RAY", False, False),
        ("Christopher Robinson", "CHRISTOPHER ROB", False, True),
        ("Chris Robinson", "CHRIS ROB", False, False),
        ("Acme", "ACME INC", True, True),
        ("Acme Works", "ACME INC", True, False),
        ("Ann", "ANN TAYLOR STORES", False, False),
        ("", "ACME", True, False),
        ("Bob Ray", "", False, False),
        ("Bob Ray", "Unknown Caller", False, False),
    ],
)
def test_is_it_this_ones_name(name: str, caller_name: str, company: bool, is_it: bool) -> None:
    assert is_name_of(name, caller_name, company=company) is is_it
