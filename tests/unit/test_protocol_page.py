"""docs/protocol.md names every frame, event, error and close code, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocol.errors import CLOSES, ERRORS
from protocol.events import EventName
from protocol.frames import CLIENT_FRAMES, SERVER_FRAMES

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def first_column(heading: str) -> set[str]:
    section = PAGE.split(f"### {heading}\n", 1)[1].split("\n#", 1)[0]
    return set(re.findall(r"^\| `?([\w.]+)`? \|", section, re.MULTILINE)) - {"type", "name", "code", "what"}


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Frames from the client", {str(each.__struct_config__.tag) for each in CLIENT_FRAMES}),
        ("Frames from the server", {str(each.__struct_config__.tag) for each in SERVER_FRAMES}),
        ("Events", {name.value for name in EventName}),
        ("Error codes", {code.value for code in ERRORS}),
        ("Close codes", {str(int(code)) for code in CLOSES}),
    ],
)
def test_the_page_has_exactly_what_the_code_has(heading: str, expected: set[str]) -> None:
    assert first_column(heading) == expected


def test_the_page_has_every_field_of_every_frame() -> None:
    for each in (*CLIENT_FRAMES, *SERVER_FRAMES):
        for field in each.__struct_fields__:
            assert f"`{field}`" in PAGE, f"{each.__name__}.{field}"
