"""Phrases that need explaining, and were replaced, are not used again: in docs, docstrings or comments."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.source import ROOT

FOLDERS = ("server", "storage", "protocol", "client", "bench", "docs", "tests")
RETIRED = {
    r"stops? to count": "become(s) invalid",
    r"counts? no longer|no longer counts?": "is (are) no longer valid",
    r"at the door": "before anything else is read",
    r"said in one line": "reported in one line",
    r"ask nobody|nobody is asked": "name what does or does not happen",
    r"\bis nobody's\b|\bthe file being nobody's\b": "belongs to nobody, is unassigned",
    r"who is gone|whoever is gone": "a person who was removed",
    r"not told of": "not notified of",
    r"put right\b": "corrected",
    r"making good|makes? good|made good": "caught up on",
    r"(?:fall|falls|fell) silent": "stop(s) responding",
    r"says? goodbye|said goodbye": "close(s) the session",
    r"let go of|lets go of": "release(s)",
    r"limps? on": "continues without it",
    r"whoever comes next": "the next one",
    r"to be had\b": "available",
    r"signs? of life": "a ping or its answer",
}
"""A phrase that is never right, and what to say instead. Add one that came back; keep the list short."""
_ANY = re.compile("|".join(RETIRED), re.IGNORECASE)


def prose(path: Path) -> Iterator[str]:
    """Yield a page's text, or the docstrings and comments of a module, each as one line."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        yield one_line(text)
    elif _ANY.search(one_line(text)):  # most modules have none, not even in their code: those need no parsing
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield one_line(ast.get_docstring(node) or "")
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        yield one_line("\n".join(token.string for token in tokens if token.type == tokenize.COMMENT))


def one_line(text: str) -> str:
    return " ".join(re.sub(r"^\s*#", "", text, flags=re.MULTILINE).split())


def files() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md")]
    pages = [path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"]
    return sorted(path for path in [*found, *pages] if path != Path(__file__))


def test_retired_phrases_are_not_used_again() -> None:
    searched = files()
    assert len(searched) > 450
    found = [
        f"{path.relative_to(ROOT)}: {match[0]!r} (say: {instead})"
        for path in searched
        for text in prose(path)
        for retired, instead in RETIRED.items()
        for match in re.finditer(retired, text, re.IGNORECASE)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "Their tokens\nstop to count."),
        ("module.py", "# their tokens\n# stop to count\n"),
        ("module.py", '"""Tokens\nstop to count."""\n'),
    ],
)
def test_a_retired_phrase_is_found_over_the_end_of_a_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert any("stop to count" in found for found in prose(tmp_path / name))
