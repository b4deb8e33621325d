"""What the web app shows of times, names and found words."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness.programs import program

STATE = Path(__file__).parents[2] / "web" / "app" / "state"


def value(file: str, name: str, *arguments: Any) -> Any:
    """Return what an exported function of the app returns."""
    call = f"{name}(...{json.dumps(arguments)})"
    code = f"import {{ {name} }} from {json.dumps(str(STATE / file))}; console.log(JSON.stringify({call}))"
    done = subprocess.run(
        [program("node"), "--input-type=module", "--eval", code], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


NOON = 1_782_993_600_000  # 2 July 2026, a Thursday
DAY = 86_400_000


@pytest.mark.parametrize(
    ("days", "between_messages", "in_lists"),
    [
        (1, "Yesterday", "Yesterday"),
        (2, "Tuesday", "Tue"),
        (6, "Friday", "Fri"),
        (7, "Thursday, June 25", "Jun 25"),
        (300, "September 5, 2025", "Sep 5, 2025"),
    ],
)
def test_a_day_is_the_same_between_messages_and_in_lists(days: int, between_messages: str, in_lists: str) -> None:
    at = NOON - days * DAY
    assert value("language.js", "dayName", at, "long", NOON) == between_messages
    assert value("language.js", "listTime", at, NOON) == in_lists


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("the café there", "cafe", "café"),
        ("the cafe\u0301 there", "cafe", "cafe\u0301"),
        ("e\u0301te\u0301 au cafe\u0301 there", "there", "there"),
        ("한국 cafe", "cafe", "cafe"),
        ("🙈 cafe", "CAFÉ", "cafe"),
        ("ﬁne", "ne", "ne"),
    ],
)
def test_a_search_marks_what_it_found_also_after_accents_of_their_own(text: str, words: str, found: str) -> None:
    before, mark, after = value("search.js", "around", text, words)
    assert mark == found
    assert before + mark + after == text


def test_a_device_is_called_after_its_browser_and_numbered() -> None:
    devices = [{"name": "Chrome, Linux"}, {"name": None}]
    assert value("keys.js", "freeName", "Firefox, Linux", devices) == "Firefox, Linux"
    assert value("keys.js", "freeName", "Chrome, Linux", devices) == "Chrome, Linux 2"
    assert value("keys.js", "freeName", "Chrome, Linux", [*devices, {"name": "Chrome, Linux 2"}]) == "Chrome, Linux 3"
