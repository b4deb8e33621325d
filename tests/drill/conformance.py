"""Row 15: the socket's bytes, after RFC 6455: Buzz's own route, reading and limits; an echo in the session's place.

The cases are our own (``wire_cases``), in the Autobahn suite's classes 1 to 7 and 10, and a client that does not mask.
Where the suite itself is there (``wstest``, Python 2.7: `WSTEST` names the command), it runs as well. Both are set on a
server that checks nothing, too: the control.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.drill.drills import Drill, Report, advance
from tests.drill.wire_cases import UNDECODABLE, Case, cases
from tests.drill.wire_echo import buzz_echo, careless_echo
from tests.harness.peer import JSON
from tests.harness.raw_socket import CLOSE, RawSocket, raw_socket

CLASSES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
NOT_UTF8 = "closed with 4400, not 1007: what can't be decoded is not the protocol (docs/decisions/0006)"
DEVIATIONS = {
    f"6.{group}.": NOT_UTF8 for group in (3, 4, 6, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
}  # fmt: skip
"""The suite's cases whose close code is another on purpose: the beginning of their number, and why."""


async def run(rounds: int) -> Report:
    """All cases of our own, ``rounds`` times."""
    chosen, failed, control = cases(), dict[str, str](), 0
    with tempfile.TemporaryDirectory(prefix="buzz-wire-") as folder:
        async with buzz_echo(Path(folder)) as url:
            for _ in range(rounds):
                for case in chosen:
                    if fault := await _fault(url, case):
                        failed[case.name] = fault
                advance()
    async with careless_echo() as url:
        for case in chosen:
            if case.name.startswith(("0.1 unmasked text", "3.1", "4.1.1", "7.9.1")) and case.piece == 0:
                control += bool(await _fault(url, case, wait_seconds=0.2))
    for name, fault in failed.items():
        print(f"{name}: {fault}")
    return Report({"cases failed": len(failed)}, control, {"cases": len(chosen)})


async def _fault(url: str, case: Case, wait_seconds: float = 10.0) -> str:
    """What is wrong with the answer to a case, or nothing."""
    got: list[tuple[int, bytes]] = []
    try:
        async with asyncio.timeout(wait_seconds), raw_socket(url, JSON) as opened:
            reading = asyncio.create_task(_read(opened, got), name="conformance")
            try:
                await _write(opened, case, reading)
                code = await reading
            finally:
                reading.cancel()
    except (AssertionError, OSError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}; after {got!r:.200}"
    if case.answers is not None and got != list(case.answers):
        return f"answered {got!r:.200}"
    return "" if code == case.code else f"closed with {code}, not {case.code}"


async def _write(opened: RawSocket, case: Case, reading: asyncio.Task[int]) -> None:
    """Write the pieces until the server closes: after its close frame it may reset the connection."""
    size = case.piece or len(case.sent)
    with suppress(ConnectionError):
        for start in range(0, len(case.sent), size):
            await opened.write(case.sent[start : start + size])
            if case.piece:
                for _ in range(3):  # the server shares the loop: let it read this much
                    await asyncio.sleep(0)
            if reading.done():
                return


async def _read(opened: RawSocket, got: list[tuple[int, bytes]]) -> int:
    """All messages and pongs until the close frame; its code, or 1006 where there was none."""
    while (found := await opened.read()) is not None:
        if found.opcode == CLOSE:
            return int.from_bytes(found.payload[:2], "big")
        got.append((found.opcode, found.payload))
    return 1006


# --- the suite itself -------------------------------------------------------------------------------------------------


async def run_autobahn(_: int) -> Report:
    """The Autobahn suite's own classes 1 to 7 and 10."""
    command = shlex.split(os.environ.get("WSTEST", shutil.which("wstest") or ""))
    if not command:
        return Report({}, not_run="there is no wstest here: docs/drills.md says how to get it")
    with tempfile.TemporaryDirectory(prefix="buzz-autobahn-") as folder:
        async with buzz_echo(Path(folder) / "data") as url:
            found = await _autobahn(command, Path(folder) / "buzz", url, CLASSES)
        async with careless_echo() as url:
            control = await _autobahn(command, Path(folder) / "control", url, ["3.*", "4.*"])
    failed = {name: result for name, result in found.items() if not _good(result)}
    unnamed = {name: result for name, result in failed.items() if not _is_named(name, result)}
    for name, result in sorted(unnamed.items()):
        print(f"{name}: {result}")
    gone = sum(not any(name.startswith(start) for name in failed) for start in DEVIATIONS)
    advance()
    counts = {"cases failed": len(unnamed), "deviations that are none": gone}
    seen = {"cases": len(found), "named deviations": len(failed) - len(unnamed)}
    return Report(counts, sum(not _good(result) for result in control.values()), seen)


def _is_named(name: str, result: dict[str, Any]) -> bool:
    """What was refused as it should be, and only says so with the code of our own."""
    only_the_code = result["behavior"] in ("OK", "NON-STRICT") and result["remoteCloseCode"] == UNDECODABLE
    return only_the_code and name.startswith(tuple(DEVIATIONS))


def _good(result: dict[str, Any]) -> bool:
    fine = ("OK", "INFORMATIONAL", "NON-STRICT")
    return result["behavior"] in fine and result["behaviorClose"] in fine


async def _autobahn(command: Sequence[str], folder: Path, url: str, chosen: Sequence[str]) -> dict[str, Any]:
    await asyncio.to_thread(folder.mkdir)
    address = f"ws{url.removeprefix('http')}/apps/buzz/socket"
    given = {"outdir": str(folder), "servers": [{"agent": "Buzz", "url": address}], "cases": chosen}
    (folder / "spec.json").write_text(json.dumps(given | {"exclude-cases": [], "exclude-agent-cases": {}}))
    process = await asyncio.create_subprocess_exec(
        *command, "-m", "fuzzingclient", "-s", str(folder / "spec.json"),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.STDOUT, cwd=folder,
    )  # fmt: skip
    await process.wait()
    found: dict[str, Any] = json.loads((folder / "index.json").read_text())["Buzz"]
    return found


DRILLS = (
    Drill(15, "a websocket's bytes: our own cases", run, short=1, full=20),
    Drill(15, "a websocket's bytes: the Autobahn suite", run_autobahn, short=1, full=1),
)
