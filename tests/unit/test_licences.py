"""The licences: ours, and those of the parts that are kept in the repository."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIES = ["client/python/LICENSE", "client/js/LICENSE"]


def test_the_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "APPENDIX: How to apply the Apache License to your work." in text


@pytest.mark.parametrize("copy", COPIES)
def test_each_distribution_carries_it(copy: str) -> None:
    assert (ROOT / copy).read_text().split() == (ROOT / "LICENSE").read_text().split()


@pytest.mark.parametrize("project", ["pyproject.toml", "client/python/pyproject.toml"])
def test_a_distribution_names_its_licence(project: str) -> None:
    found = tomllib.loads((ROOT / project).read_text())["project"]
    assert found["license"] == "Apache-2.0"
    assert all((ROOT / project).parent.joinpath(name).is_file() for name in found["license-files"])


def test_every_part_of_another_project_is_named_with_its_version_and_licence() -> None:
    notice = (ROOT / "NOTICE").read_text()
    parts = sorted(path for path in (ROOT / "web" / "vendor").iterdir())
    assert parts
    for part in parts:
        assert (part / "LICENSE").is_file(), part
        name_and_version = (part / "VERSION.txt").read_text().partition(",")[0]
        assert f"{name_and_version} ({part.relative_to(ROOT)})" in notice
        assert f"{part.relative_to(ROOT)}/LICENSE" in notice
