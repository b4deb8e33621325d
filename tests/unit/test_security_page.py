"""docs/security.md names tests and settings that exist."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from server.config.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
LIMITS = PAGE.split("\n## Limits\n", 1)[1].split("\n## ", 1)[0]


def rows() -> list[list[str]]:
    """The cells of each row of the limits, without the heads of the tables."""
    lines = [line for line in LIMITS.splitlines() if line.startswith("| ") and not line.startswith("| what |")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def named(cell: str) -> list[str]:
    """What a cell names: everything between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def functions(path: Path) -> set[str]:
    """The test functions of a file."""
    return {
        each.name
        for each in ast.parse(path.read_text()).body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:60])
def test_every_limit_names_a_setting_and_a_test_that_exist(row: list[str]) -> None:
    assert len(row) == 5, f"what | limit | setting | what is seen | test: {row}"
    settings, tests = named(row[2]), named(row[4])
    assert settings, "name a setting, or the constant in the code"
    assert tests, "name the test"
    for name in settings:
        if name.startswith("BUZZ_"):
            assert name.removeprefix("BUZZ_").lower() in Settings.model_fields
        else:
            module, _, constant = name.rpartition(".")
            assert hasattr(import_module(module), constant), name
    for name in tests:
        path, _, function = name.partition("::")
        assert function in functions(ROOT / path), name


def test_there_are_limits_for_each_side() -> None:
    assert len(LIMITS.split("\n### ")) == 4
    assert len(rows()) > 15
