"""What a file of the code defines, for tests that hold documents to the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def names_in(file: str) -> frozenset[str]:
    """The functions, classes, methods and constants of a file, methods as ``Class.method``; none if it is not there."""
    path = ROOT / file
    return frozenset(_names(ast.parse(path.read_text("utf-8")))) if path.exists() else frozenset()


def _names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, _FUNCTIONS):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield node.name
            yield from (f"{node.name}.{each.name}" for each in node.body if isinstance(each, _FUNCTIONS))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
