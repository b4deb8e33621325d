"""The API's descriptions in the hands of others' validators and linters."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from tests.harness.programs import node_modules, program
from tests.harness.world import open_world

FOLDER = Path(__file__).parents[1] / "generators"
TOOL_SECONDS = 100


@pytest.fixture
async def documents(tmp_path: Path) -> Path:
    """A folder with both documents as a real server answers them."""
    async with open_world(tmp_path / "data") as world:
        for name in ("openapi.json", "asyncapi.json"):
            (tmp_path / name).write_bytes((await world.http().get(f"/{name}")).body)
    return tmp_path


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_openapi_is_valid_for_its_validator(documents: Path) -> None:
    validate(json.loads((documents / "openapi.json").read_bytes()))


async def test_spectral_finds_nothing(documents: Path) -> None:
    spectral = node_modules(FOLDER) / ".bin" / "spectral"
    lint = [str(spectral), "lint", str(documents / "openapi.json"), "--ruleset", str(FOLDER / "spectral.yaml")]
    await asyncio.to_thread(_run, *lint, "--fail-severity", "warn")


async def test_asyncapi_is_valid_for_its_parser(documents: Path) -> None:
    # Node looks for packages beside the script.
    (documents / "node_modules").symlink_to(node_modules(FOLDER))
    script = documents / "asyncapi.mjs"
    script.write_bytes((FOLDER / "asyncapi.mjs").read_bytes())
    operations = await asyncio.to_thread(_run, program("node"), str(script), str(documents / "asyncapi.json"))
    assert int(operations) == len(json.loads((documents / "asyncapi.json").read_bytes())["operations"])
