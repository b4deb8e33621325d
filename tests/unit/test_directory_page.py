"""docs/directory.md against the code: every kind with its fields, and lines that can be imported as they stand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from protocol.directory import KEYS, Kind
from protocol.directory_lines import fields_model, parse_line
from protocol.errors import ApiError
from server.services.directory.effects import list_names
from server.services.directory.importing import MAX_LINE_BYTES, MAX_LINES

PAGE = (Path(__file__).parents[2] / "docs" / "directory.md").read_text()


def cells(kind: Kind) -> list[set[str]]:
    """The names in each cell of the kind's row."""
    [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{kind.value}` |")]
    return [set(re.findall(r"`(\w+)`", cell)) for cell in row.strip("|").split("|")]


def test_every_kind_has_its_fields() -> None:
    for kind in Kind:
        _, identity, needed, optional = cells(kind)
        fields = fields_model(kind).model_fields
        named = {field.alias or name: field for name, field in fields.items()}
        assert identity == set(KEYS[kind])
        assert needed == {name for name, field in named.items() if field.is_required()}
        assert optional == {name for name, field in named.items() if not field.is_required()}


def test_the_lines_are_lines() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith('{"kind"')]
    assert [parse_line(line.encode()).kind for line in lines] == list(Kind)


def test_lists_and_limits_are_those_of_the_code() -> None:
    for name in list_names(31):
        assert f"`{name}`" in PAGE
    assert f"{MAX_LINE_BYTES:,} bytes" in PAGE
    assert f"{MAX_LINES:,} lines" in PAGE


def test_what_is_said_to_be_needed_is() -> None:
    for text in (line for line in PAGE.splitlines() if line.startswith('{"kind"')):
        fields = json.loads(text)
        _, identity, needed, _ = cells(Kind(fields["kind"]))
        for name in identity | needed:
            without = {key: value for key, value in fields.items() if key != name}
            with pytest.raises(ApiError, match=f"Missing required parameter: '{name}'"):
                parse_line(json.dumps(without).encode())
