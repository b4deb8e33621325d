"""Operations that an operator waits for: a large import, and a start with a long history."""

from __future__ import annotations

import asyncio
import shutil
import time

from bench import plain_loop, world
from bench.context import Bench
from bench.cores import pinned_to
from bench.figures import Line, Reading, Sample, figure_at_most
from bench.load.http import fetch
from bench.registry import row
from bench.rows.growth import HISTORIES, long_history
from bench.world import World

LINES = 1_000_000


@row(
    "import",
    Line("seconds", "import of 1,000,000 lines", "s", figure_at_most(60, goal=20), "decode and store in a plain loop"),
)
async def measure_import(bench: Bench) -> Sample:
    """Measure an import into an empty directory, on the server's core."""
    folder = bench.work / "import"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = folder / "directory.ndjson"
    # A person with a number and ten contacts is twelve lines, a member one more.
    people = bench.pick(LINES, 2_600) // 13
    inhabitants = World(people, company_members=people, with_numbers=people)
    await asyncio.to_thread(world.write_directory, inhabitants, path)
    bench.say("plain loop")
    plain_seconds = await plain_loop.run(bench.cores.server, "import", str(path))
    bench.say("import")
    into = ("--data-dir", str(folder / "data"))
    await world.run_command("migrate", *into)
    started_at = time.perf_counter()
    with pinned_to(bench.cores.server):
        await world.run_command("import", str(path), *into)
    return Sample({"seconds": Reading(time.perf_counter() - started_at, plain_seconds)})


@row(
    "start",
    Line(
        "seconds",
        "start to ready with 10,000,000 stored",
        "s",
        figure_at_most(1, goal=0.3),
        "start with none stored",
    ),
)
async def measure_start(bench: Bench) -> Sample:
    """Measure the time from the start of the process to the first 200 of `/readyz`."""
    bench.say("start with an empty log")
    empty = await _start_seconds(bench, World(people=1), "")
    inhabitants, name = long_history(bench, bench.pick(HISTORIES[-1], 5_000))
    bench.say("start with a long history")
    return Sample({"seconds": Reading(await _start_seconds(bench, inhabitants, name), empty)})


async def _start_seconds(bench: Bench, inhabitants: World, keep: str) -> float:
    async with bench.buzz(inhabitants, keep=keep) as buzz:
        listening_at = time.perf_counter()
        await fetch(buzz.host, buzz.port, "/readyz")
        return buzz.process.ready_after_seconds + time.perf_counter() - listening_at
