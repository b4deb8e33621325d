"""The client's README: its example runs, and it leaves nothing out."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import buzz_client
from tests.fakes.small_server import small_server

CLIENT = Path(__file__).parents[3] / "client" / "python"
README = (CLIENT / "README.md").read_text("utf-8")


async def test_the_example_runs() -> None:
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    async with small_server() as server:
        tokens = {"BUZZ_TOKEN": "7", "BUZZ_OTHER_TOKEN": "8"}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            "-c",
            example,
            env=os.environ | tokens | {"BUZZ_URL": server.url, "PYTHONPATH": str(CLIENT)},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.decode().splitlines() == ["stored as 1", "Jane Doe wrote ciphertext of: hello"]


def test_every_call_and_every_error_is_named() -> None:
    calls = [name for name in vars(buzz_client.BuzzHttp) if not name.startswith("_") and name != "close"]
    ends = [kind.__name__ for kind in buzz_client.SessionEnded.__subclasses__()]
    for name in [*calls, *ends]:
        assert f"`{name}`" in README, f"client/python/README.md does not name {name}"
