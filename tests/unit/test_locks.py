"""The locks install with the pip that comes with Python 3.11, on the day a newer version of anything is out."""

import json
import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?==", re.MULTILINE)
WITH_EXTRAS = re.compile(r"^([A-Za-z0-9._-]+)\s*\[([^\]]+)\]")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-traces.lock", "requirements-dev.lock"])
def test_an_extra_that_a_package_asks_for_is_pinned_with_it(lock: str) -> None:
    """pip before 24 takes the newest version, which has no hash here, for a name with an extra that no line pins."""
    text = (ROOT / lock).read_text()
    pinned = {_normal(name): set((extras or "").split(",")) for name, extras in PINNED.findall(text)}
    assert len(pinned) > 20
    asked = [
        (_normal(match[1]), extra.strip())
        for package in pinned
        for requirement in _requirements(package)
        if "extra ==" not in requirement and (match := WITH_EXTRAS.match(requirement))
        for extra in match[2].split(",")
    ]
    assert [(name, extra) for name, extra in asked if name in pinned and extra not in pinned[name]] == []


def _requirements(package: str) -> list[str]:
    try:
        return requires(package) or []
    except PackageNotFoundError:  # for another system or Python version
        return []


@pytest.mark.parametrize(
    "lock",
    [
        "requirements.lock",
        "requirements-traces.lock",
        "requirements-dev.lock",
        "docs/receivers/requirements.lock",
        "tests/generators/requirements.lock",
    ],
)
def test_a_lock_names_no_index_and_hashes_everything(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert text.count("--hash=sha256:") >= len(PINNED.findall(text))


@pytest.mark.parametrize("lock", sorted(ROOT.glob("*/*/package-lock.json")), ids=lambda path: path.parent.name)
def test_a_lock_of_npm_names_no_registry_and_hashes_everything(lock: Path) -> None:
    packages = [package for path, package in json.loads(lock.read_text("utf-8"))["packages"].items() if path]
    assert packages
    assert [package for package in packages if "resolved" in package or not package.get("integrity")] == []
