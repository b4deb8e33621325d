"""The command blocks of the documentation, and a shell that runs them as they are pasted."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.node import ROOT

PAGES = [
    "README.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("docs/**/*.md"), *ROOT.glob("client/*/README.md"))),
]  # fmt: skip
PASTED_ADDRESS = "http://127.0.0.1:8080"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page. ``kind`` is its label: `sh` for commands."""

    page: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0]}" if self.text else self.page


def blocks() -> Iterator[Block]:
    """Every fenced block of every page."""
    for page in PAGES:
        for kind, text in _BLOCK.findall((ROOT / page).read_text("utf-8")):
            yield Block(page, kind, text)


@asynccontextmanager
async def started(*arguments: str, cwd: Path, **environment: str) -> AsyncIterator[str]:
    """Run a command that starts a server, in bash; yield the address at which it listens, and stop it afterwards."""
    process = await asyncio.create_subprocess_exec(
        *arguments, cwd=cwd, env=os.environ | environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = ""
        while not line.startswith("listening on "):
            line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
            assert line, (await process.stderr.read()).decode()
        yield line.split()[2]
    finally:
        process.terminate()
        await process.communicate()


async def pasted(text: str, cwd: Path, environment: dict[str, str]) -> tuple[int | None, str, str]:
    """Run the text in one shell that stops at the first failure. Returns its status and both outputs."""
    script = f"set -euo pipefail\n{text}"
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=cwd, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    output, errors = await asyncio.wait_for(shell.communicate(), 120)
    return shell.returncode, output.decode(), errors.decode()


def here(text: str, address: str) -> str:
    """The commands with this server's address, and failing when a request is refused."""
    text = text.replace(PASTED_ADDRESS, address).replace(".venv/bin/python", sys.executable)
    return re.sub(r"^curl (?:-s )?", "curl -sS --fail-with-body -w '\\\\n' ", text, flags=re.MULTILINE)
