"""What tests and the bench may import of one another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = ("harness", "servers", "fakes")


@cache
def imported(folder: str) -> list[tuple[str, list[str]]]:
    """(file, parts of the imported module) for every import in the folder's files."""
    return list(_imported(folder))


def _imported(folder: str) -> Iterator[tuple[str, list[str]]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [f"{node.module}.{name.name}" for name in node.names]
            elif isinstance(node, ast.Import):
                modules = [name.name for name in node.names]
            else:
                continue
            yield from ((str(path.relative_to(ROOT)), module.split(".")) for module in modules)


def test_what_tests_share_imports_no_test() -> None:
    wrong = [
        (file, ".".join(module))
        for file, module in imported("tests")
        if file.split("/")[1] in SHARED and module[0] == "tests" and module[1] not in SHARED
    ]
    assert wrong == [], "move what is shared into tests/harness"


def test_no_file_imports_a_test_file() -> None:
    everywhere = [each for folder in ("tests", "bench", "local_servers", "docs") for each in imported(folder)]
    assert len(everywhere) > 3_000
    wrong = [
        (file, ".".join(module))
        for file, module in everywhere
        if module[0] == "tests" and any(part.startswith("test_") for part in module[:-1])
    ]
    assert wrong == [], "move what is shared into tests/harness"


def test_the_bench_and_the_servers_it_starts_import_nothing_of_the_tests() -> None:
    for folder in ("bench", "local_servers"):
        assert [(file, module) for file, module in imported(folder) if module[0] == "tests"] == []


def test_a_kind_of_tests_imports_no_other_kind() -> None:
    wrong = [
        (file, ".".join(module))
        for file, module in imported("tests")
        if module[0] == "tests" and module[1] not in SHARED and module[1] != file.split("/")[1]
    ]
    assert wrong == []
