"""tests/README.md: every test file has a place in its tables, and every path that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS / "README.md").read_text("utf-8")
TABLES = PAGE.split("## Which behaviour is tested where", 1)[1].split("\n## ", 1)[0]
ROWS = [line.strip("| ").rpartition("|") for line in TABLES.splitlines() if line.startswith("| ")]
LISTED = [path for _, _, files in ROWS for path in re.findall(r"`([\w/]+(?:\.py|/))`", files)]


def test_every_test_file_is_listed_or_in_a_folder_that_is() -> None:
    files = {str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py")}
    assert len(files) > 150
    folders = tuple(path for path in LISTED if path.endswith("/"))
    assert {file for file in files if file not in LISTED and not file.startswith(folders)} == set()


def test_every_path_in_the_tables_is_there() -> None:
    assert [path for path in LISTED if not (TESTS / path).exists()] == []


def test_every_path_in_the_text_is_there() -> None:
    named = [path for path in re.findall(r"`([\w/]+(?:\.py|/))`", PAGE) if path not in LISTED]
    places = (TESTS, TESTS.parent, TESTS / "harness")
    assert [path for path in named if not any((place / path).exists() for place in places)] == []


def test_only_whole_kinds_of_tests_are_listed_by_their_folder() -> None:
    assert sorted({path for path in LISTED if path.endswith("/")}) == ["drill/", "unit/bench/", "unit/protocol/"]
