"""Every part of the release has the version of server/config/version.py."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

import buzz_client
from server.config.version import VERSION
from server.description.openapi import openapi

ROOT = Path(__file__).parents[3]
PACKAGE_JSON = ["client/js/package.json", "client/js/package-lock.json"]


def test_the_version_can_be_ordered() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


@pytest.mark.parametrize(
    ("folder", "attribute"),
    [("", "server.config.version.VERSION"), ("client/python", "buzz_client.version.__version__")],
)
def test_a_distribution_takes_its_version_from_the_code(folder: str, attribute: str) -> None:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": attribute}


def test_the_python_client_has_it() -> None:
    assert buzz_client.__version__ == VERSION


@pytest.mark.parametrize("name", PACKAGE_JSON)
def test_the_javascript_client_has_it(name: str) -> None:
    found = json.loads((ROOT / name).read_text())
    assert found["version"] == VERSION
    assert found.get("packages", {}).get("", found)["version"] == VERSION


def test_the_api_description_has_it() -> None:
    assert openapi([])["info"]["version"] == VERSION


def test_the_image_has_it() -> None:
    labels = re.findall(r'org\.opencontainers\.image\.version="([^"]*)"', (ROOT / "deploy" / "Dockerfile").read_text())
    assert labels == [VERSION]
