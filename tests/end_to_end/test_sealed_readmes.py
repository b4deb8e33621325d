"""The encrypted programs of both clients' READMEs, for people who have devices already: they ask about new ones."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

import pytest

from buzz_client import BuzzClient
from buzz_client.encryption import MemoryKeys, SealedMessages
from tests.harness.backend import SQLITE
from tests.harness.lives import lives
from tests.harness.node import ROOT, Tokens
from tests.harness.people import BOB, JANE
from tests.harness.programs import javascript_client, program

pytestmark = [pytest.mark.backends(SQLITE), pytest.mark.usefixtures("watch")]
PYTHON = ROOT / "client" / "python"
QUESTION = b"Is it theirs? (y/n) "


def python_program(folder: Path) -> list[str]:
    _, sealed = re.findall(r"```python\n(.*?)```", (PYTHON / "README.md").read_text("utf-8"), re.DOTALL)
    (folder / "sealed.py").write_text(sealed)
    return [sys.executable, "-W", "error", "sealed.py"]


def javascript_program(folder: Path) -> list[str]:
    package = javascript_client()
    blocks = re.findall(r"```js\n(.*?)```", (package / "README.md").read_text("utf-8"), re.DOTALL)
    [sealed] = [block for block in blocks if "sealedMessages" in block]
    (folder / "sealed.mjs").write_text(sealed)
    modules = folder / "node_modules"
    modules.mkdir()
    (modules / "buzz-client").symlink_to(package)
    if not (modules / "ws").exists():
        (modules / "ws").symlink_to(package / "node_modules" / "ws")
    return [program("node"), "--preserve-symlinks-main", "sealed.mjs"]


async def answered(command: list[str], folder: Path, environment: dict[str, str], answer: str) -> tuple[list[str], int]:
    """Run a program and answer its questions; return its lines without them, and how many it asked."""
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    said, asked = b"", 0
    while piece := await process.stdout.read(4_096):
        said += piece
        while said.count(QUESTION) > asked:
            asked += 1
            process.stdin.write(f"{answer}\n".encode())
    assert await process.wait() == 0
    lines = re.sub(rb"[^\n]*" + re.escape(QUESTION), b"", said).decode().splitlines()
    return [line for line in lines if line], asked


@pytest.mark.parametrize("made", [python_program, javascript_program])
async def test_the_program_of_the_readme_runs_and_asks_about_new_devices_once(
    made: Callable[[Path], list[str]], data_dir: Path, tmp_path: Path
) -> None:
    command, tokens = made(tmp_path), Tokens(data_dir)
    async with asyncio.timeout(100), lives(data_dir) as server:
        url = server.node.url
        for person in (JANE, BOB):  # they have used Buzz before
            sealed = SealedMessages(MemoryKeys())
            async with BuzzClient(url, tokens.person(person), device_id="before", encryption=sealed):
                await sealed.ready.wait()
        environment = os.environ | {
            "BUZZ_URL": url, "BUZZ_TOKEN": tokens.person(JANE), "BUZZ_OTHER_TOKEN": tokens.person(BOB),
            "PYTHONPATH": str(PYTHON),
        }  # fmt: skip
        lines, asked = await answered(command, tmp_path, environment, "y")
        assert lines[0] == "Jane Smith wrote hello"
        assert re.fullmatch(r"both see (\d{5} ){11}\d{5}", lines[1])
        assert (len(lines), asked) == (2, 2), "about his device before the message, and about hers after it"
        assert await answered(command, tmp_path, environment, "y") == (lines, 0)
