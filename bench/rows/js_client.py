"""The JavaScript client in Node, and centrifuge-js: how fast each reads a history of 100,000 from a played server."""

from __future__ import annotations

import asyncio
import json
import statistics
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path

from bench.context import Bench
from bench.cores import pinned_to
from bench.figures import Limit, Line, Reading, Sample, ratio_at_least
from bench.peers import install
from bench.process import BenchFault, ServerProcess, serving
from bench.registry import row

ACTIVITIES = 100_000
READINGS = 3
MILLISECONDS = 1_000.0
AHEAD = ratio_at_least(1.5, goal=2)
NOT_ABOVE = Limit(1, 0.8, of="ratio", better="less")
PAGES = "centrifuge-js, by pages of its history"
RECOVERY = "centrifuge-js, in the answer to subscribe"
_VERSIONS = (
    "'node ' + process.version + ' centrifuge ' + require('FOLDER/centrifuge/package.json').version"
    " + ' ws ' + require('FOLDER/ws/package.json').version"
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one process took: medians of its readings, and the peak of its resident memory.

    `seen`: the number of activities, and sums over their texts and senders.
    """

    seen: tuple[int, int, int]
    milliseconds: float
    processor_milliseconds: float
    peak_mib: float


@row(
    "js-client",
    Line("pages", "client/js: catch-up of 100,000 by socket", "1/s", AHEAD, PAGES),
    Line("recovery", "the same, against recovery in one answer", "1/s", AHEAD, RECOVERY),
    Line("processor", "client/js: processor time of one activity of a catch-up", "µs", control=PAGES),
    Line("memory", "client/js: peak memory of the process", "MiB", NOT_ABOVE, PAGES),
)
async def measure(bench: Bench) -> Sample:
    """Let each read the same activities, of 0.7 KB, as JSON: in the frames of each protocol, prepared in advance."""
    count = bench.pick(ACTIVITIES, 1_000)
    bench.say("installing centrifuge-js")
    folder = await install.centrifuge_js(bench.work)
    versions = await install.version(["node", "-p", _VERSIONS.replace("FOLDER", str(folder / "node_modules"))])
    command = ["node", str(folder / "played_server.js"), str(count)]
    async with serving(command, core=bench.cores.server, log=bench.work / "peer.log") as server:
        taken = {how: await _read(bench, folder, server, how, count) for how in ("buzz", "history", "recovery")}
    if len({each.seen for each in taken.values()}) != 1:
        raise BenchFault(f"the clients did not read the same: {taken}")
    mine, pages, recovery = taken.values()

    def rate(of: Taken) -> float:
        return count / of.milliseconds * MILLISECONDS

    def each(of: Taken) -> float:
        return of.processor_milliseconds / count * MILLISECONDS

    return Sample(
        {
            "pages": Reading(rate(mine), rate(pages)),
            "recovery": Reading(rate(mine), rate(recovery)),
            "processor": Reading(each(mine), each(pages)),
            "memory": Reading(mine.peak_mib, pages.peak_mib),
        },
        notes={"pages": versions, "recovery": f"peak memory of the peer {recovery.peak_mib:.0f} MiB"},
    )


async def _read(bench: Bench, folder: Path, server: ServerProcess, how: str, count: int) -> Taken:
    """Run read.js on the load's core."""
    bench.say(how)
    url = f"http://{server.host}:{server.port}"
    with pinned_to(bench.cores.load):
        process = await asyncio.create_subprocess_exec(
            *("node", str(folder / "read.js"), how, url, str(count), str(READINGS)), stdout=PIPE, stderr=PIPE
        )
    printed, said = await process.communicate()
    if process.returncode != 0:
        raise BenchFault(f"read.js {how} ended with {process.returncode}: {said.decode(errors='replace')[-500:]}")
    found = json.loads(printed)
    readings = found["readings"]
    seen = {(one["taken"], one["characters"], one["senders"]) for one in readings}
    if {taken for taken, _, _ in seen} != {count} or len(seen) != 1:
        raise BenchFault(f"{how} did not read {count:,} activities each time, and the same: {readings}")
    [each] = seen
    return Taken(
        each,
        statistics.median(one["milliseconds"] for one in readings),
        statistics.median(one["processor_ms"] for one in readings),
        found["peak_mib"],
    )
