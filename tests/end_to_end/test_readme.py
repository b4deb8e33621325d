"""The README's requests, run as they are pasted, against a server started as it says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """`run.py serve --dev` on a free port; the environment in which its commands run, with the address in ADDRESS."""
    environment = {**os.environ, "BUZZ_DATA_DIR": str(tmp_path / "var")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "run.py", "serve", "--dev", "--port", "0", cwd=ROOT, env=environment, stdout=PIPE
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        yield {**environment, "ADDRESS": line.removeprefix("listening on ").strip()}
    finally:
        process.kill()
        await process.communicate()


def as_pasted(block: str, address: str) -> str:
    """The block with this server's address and this interpreter in place of those that it names."""
    block = block.replace("http://127.0.0.1:8080", address).replace(".venv/bin/python", sys.executable)
    return re.sub(r"^curl -s ", "curl -sS --fail-with-body -w '\\\\n' ", block, flags=re.MULTILINE)


async def test_every_request_of_the_readme_is_answered(served: dict[str, str]) -> None:
    script = "set -euo pipefail\n" + "\n".join(as_pasted(block, served["ADDRESS"]) for block in BLOCKS)
    shell = await asyncio.create_subprocess_exec("bash", "-c", script, cwd=ROOT, env=served, stdout=PIPE, stderr=PIPE)
    output, errors = (stream.decode() for stream in await asyncio.wait_for(shell.communicate(), 120))
    assert shell.returncode == 0, output + errors
    answers = [line for line in output.splitlines() if line.startswith(("{", "["))]
    assert len(answers) >= README.count("\ncurl ") - 2  # /metrics is no JSON, clear has no body
    posted = json.loads(answers[0])
    assert posted["success"] is True
    assert json.loads(answers[1])[0]["id"] == posted["data"]["id"]


def test_every_page_that_the_readme_names_is_there() -> None:
    pages = re.findall(r"\]\(([^)#]+)\)", README)
    assert [page for page in pages if not page.startswith("http") and not (ROOT / page).exists()] == []
