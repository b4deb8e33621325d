"""The texts of the web app: every language has the same ones, every one is used, none is missing or late."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness.programs import program

APP = Path(__file__).parents[2] / "web" / "app"
FIELD = re.compile(r"\{(\w+)\}")
# Names that are put together from a part that the code knows and one that comes from the server.
COMPOSED = re.compile(r"\bt\(`([^`]*)`")
IMPORTED = re.compile(r"^(?:import|export)\b[^;]*?from \"(\.[^\"]+)\"", re.MULTILINE)
LATER = "later_"


def texts_of(file: str, language: str) -> dict[str, Any]:
    path = json.dumps(str(APP / "texts" / f"{file}.js"))
    code = f"import {{ {language} }} from {path}; console.log(JSON.stringify({language}))"
    done = subprocess.run(
        [program("node"), "--input-type=module", "--eval", code], capture_output=True, text=True, timeout=60, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def texts(language: str) -> dict[str, Any]:
    """Return all texts: those that are there from the beginning, and those of what is loaded later."""
    return texts_of(language, language) | texts_of(LATER + language, language)


def loaded_at_first() -> str:
    """Return the code that a page or the service worker loads without `import()`."""
    found: set[Path] = set()
    left = [APP / "main.js", APP / "state" / "woken.js"]
    while left:
        path = left.pop().resolve()
        if path in found or APP / "texts" in path.parents:
            continue
        found.add(path)
        left += [path.parent / other for other in IMPORTED.findall(path.read_text("utf-8"))]
    return "\n".join(path.read_text("utf-8") for path in sorted(found))


@pytest.fixture(scope="module")
def english() -> dict[str, Any]:
    return texts("en")


def forms(text: str | dict[str, str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text.values())


def sources() -> str:
    paths = [APP / "main.js", *sorted((APP / "screens").glob("*.js")), *sorted((APP / "state").glob("*.js"))]
    return "\n".join(path.read_text("utf-8") for path in paths)


def test_every_language_has_the_same_texts_with_the_same_fields(english: dict[str, Any]) -> None:
    spanish = texts("es")
    assert list(spanish) == list(english)
    for name, text in english.items():
        assert set(FIELD.findall(" ".join(forms(spanish[name])))) == set(FIELD.findall(" ".join(forms(text)))), name
        assert isinstance(spanish[name], str) == isinstance(text, str), name
        assert all(form.strip() for form in forms(spanish[name])), name


def test_every_text_that_the_code_names_exists(english: dict[str, Any]) -> None:
    named = set(re.findall(r"\bt\(\s*\"(\w+)\"", sources()))
    assert len(named) > 100
    assert named - set(english) == set()


def test_no_text_is_unused(english: dict[str, Any]) -> None:
    code = sources()
    starts = tuple(filter(None, (found.split("${")[0] for found in COMPOSED.findall(code))))
    endings = tuple(filter(None, (found.rpartition("}")[2] for found in COMPOSED.findall(code))))
    unused = [
        name
        for name in english
        if f'"{name}"' not in code and not name.startswith(starts) and not name.endswith(endings)
    ]
    assert unused == []


def test_every_text_is_loaded_before_it_is_used_and_not_earlier(english: dict[str, Any]) -> None:
    code = loaded_at_first()
    parts = [re.split(r"\$\{[^}]*\}", name) for name in COMPOSED.findall(code)]
    composed = [re.compile(r"\w+".join(map(re.escape, each))) for each in parts]
    needed = {name for name in english if f'"{name}"' in code or any(each.fullmatch(name) for each in composed)}
    assert len(needed) > 100
    for language in ("en", "es"):
        assert set(texts_of(language, language)) == needed
