"""The JavaScript client in Node, Bun and Deno, each with its own WebSocket and fetch, against a real node."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from buzz_client import BuzzClient
from tests.harness.backend import SQLITE
from tests.harness.lives import lives
from tests.harness.node import Tokens
from tests.harness.people import BOB, JANE
from tests.harness.programs import javascript_client, missing, node_modules, program

pytestmark = [pytest.mark.backends(SQLITE), pytest.mark.usefixtures("watch")]
RUNTIMES = Path(__file__).parents[1] / "runtimes"


def binary(pattern: str) -> str:
    """Return the program that a package of tests/runtimes has for this machine."""
    found = sorted(node_modules(RUNTIMES).glob(pattern))
    return str(found[0]) if found else missing(f"no {pattern} in tests/runtimes: npm has none for this machine")


def node() -> list[str]:
    return [program("node")]


def bun() -> list[str]:
    return [binary("@oven/bun-*/bin/bun"), "run"]


def deno() -> list[str]:
    # No npm packages: the client needs none here.
    return [binary("@deno/*/deno"), "run", "--no-lock", "--allow-all", "--no-remote"]


class Tour:
    """The client's process, which goes on when it is told to."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def result(self, step: str) -> Any:
        """Wait for the step, and return its result; the client waits."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, f"the client has ended before {step!r}"
        report = json.loads(line)
        assert report["step"] == step
        return report["result"]

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def expect(self, step: str, result: Any) -> None:
        """Check the step's result, and let the client go on."""
        assert await self.result(step) == result
        self.go_on()


@pytest.mark.parametrize("runtime", [node, bun, deno])
async def test_a_device_on_a_platform(runtime: Any, data_dir: Path, tmp_path: Path) -> None:
    tokens, to = Tokens(data_dir), f"person:{BOB}"
    command = [*runtime(), str(javascript_client() / "test" / "tour.js")]
    async with asyncio.timeout(100), lives(data_dir) as server:
        arguments = [server.node.url, tokens.person(JANE), to, str(tmp_path)]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DENO_NO_UPDATE_CHECK": "1"}
        process = await asyncio.create_subprocess_exec(*command, *arguments, stdin=PIPE, stdout=PIPE, env=environment)
        try:
            async with BuzzClient(server.node.url, tokens.person(BOB), since=0, device_id="bob") as bob:
                await bob.send_message(f"person:{JANE}", "before it connected")
                await follow(Tour(process), bob, server.kill)
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def follow(tour: Tour, bob: BuzzClient, kill: Any) -> None:
    await tour.expect("connected", "tour")
    assert await tour.result("sent") is False
    await bob.send_message(f"person:{JANE}", "live")
    tour.go_on()
    await tour.expect("caught up", ["before it connected", "from the tour", "live"])
    async for activity in bob.activities():
        bob.received(activity.id)  # "from the tour" has reached one of his devices
        if activity.message == "from the tour":
            break
    receipt = await tour.result("receipt")
    assert receipt["by"] == {"type": "person", "id": BOB}
    tour.go_on()
    await tour.result("the server may die")
    killing = asyncio.create_task(kill(), name="kill")
    tour.go_on()
    await tour.expect("sent without a server", False)
    await killing
    await tour.expect("reconnected", "live")
    await tour.expect("device added", "other")
    await tour.expect("device removed", "other")
    await tour.expect("devices", ["tour"])
    await bob.send_message(f"person:{JANE}", "while it was away")
    await tour.expect("goes on from its file", ["live", "after the kill", "while it was away"])
