"""The version that `stats` shows is the distribution's."""

from __future__ import annotations

import tomllib
from pathlib import Path

from server.config.version import VERSION


def test_the_version_is_the_distributions() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
