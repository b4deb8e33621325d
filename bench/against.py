"""`python -m bench --against COMMIT`: what one piece of work costs in another commit's build, and in this working tree.

Both builds run in turn on the same core and interpreter. What is compared is the server's processor time for one piece
of work, and its memory: these hold on a machine that others use too, where a rate would not. The delays of sends at a
share of the node's capacity are compared as well: they say something only on a machine that nobody else uses.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import tarfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import uvloop
from rich.table import Table

from bench.context import Bench
from bench.figures import BUSY_ENOUGH, percentile
from bench.load.frames import Codec
from bench.load.rate import Rate
from bench.process import REPOSITORY, BenchFault
from bench.rows import durable_sends, latency, look_ups, memory, opens
from bench.table import number
from bench.world import World

CODECS: tuple[Codec, ...] = ("msgpack", "json")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one piece of work costs, or how long it takes.

    `busy`: how busy the server wanted to be (0 to 1), if the row saturates it. `late`: of a delay, which share of it
    (0 to 1) the load itself was late.
    """

    amount: float
    unit: str
    busy: float = 1.0
    late: float = 0.0


Costs = Mapping[str, Cost]


async def sends(bench: Bench) -> Costs:
    async with bench.buzz(World(people=durable_sends.PEOPLE)) as buzz:
        return {
            f"durable send, {codec}": processor_time(await durable_sends.send_rate(bench, buzz, codec))
            for codec in CODECS
        }


async def opened_sessions(bench: Bench) -> Costs:
    rates = await opens.opening_rates(bench, range(1, bench.pick(opens.SESSIONS, 50) + 1))
    names = ("opened session, token new", "opened session, token known")
    return {name: processor_time(rate) for name, rate in zip(names, rates, strict=True)}


async def idle_sessions(bench: Bench) -> Costs:
    sessions = bench.pick(memory.SESSIONS, 100)
    async with bench.buzz(World(people=sessions)) as buzz:
        kib = await memory.session_steps(buzz, (sessions,))
    return {f"idle session at {sessions:,}": Cost(kib[sessions], "KiB")}


async def trust_look_ups(bench: Bench) -> Costs:
    return {"trust look-up": processor_time(await look_ups.look_up_rate(bench))}


async def rate_of_share(bench: Bench) -> int:
    """Return CAPACITY_SHARE of the durable sends a second that the build makes in a closed loop, in whole hundreds."""
    async with bench.buzz(World(people=durable_sends.PEOPLE)) as buzz:
        capacity = await durable_sends.send_rate(bench, buzz, latency.CODEC)
    return max(100, int(capacity.a_second * CAPACITY_SHARE / 100) * 100)


async def delays(bench: Bench, rate: int) -> Costs:
    """Measure an open loop: from the time at which a send is due until the other person has it."""
    async with bench.buzz(World(people=latency.PEOPLE)) as buzz:
        found = await latency.send_delays(bench, buzz, rate)
    costs = dict[str, Cost]()
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        delay = found.milliseconds(share)
        late = percentile(found.lateness, share) * latency.MILLISECONDS / delay
        costs[f"send to received at {rate:,} sends/s, {name}"] = Cost(delay, "ms", late=late)
    return costs


COMPARED: Mapping[str, Callable[[Bench], Awaitable[Costs]]] = {
    "durable-sends": sends,
    "opens": opened_sessions,
    "memory": idle_sessions,
    "look-ups": trust_look_ups,
}
"""By the name of the row whose load it is; LATENCY is compared as well, at one rate for both builds."""
LATENCY = "latency"
ROWS = (*COMPARED, LATENCY)
CAPACITY_SHARE = 0.4
LATE_AT_MOST = 0.2
BARS: Mapping[str, Mapping[str, float]] = {
    "3398baf": {
        "durable send": 0.55,
        "opened session": 0.5,
        "send to received": 0.35,
    }
}
"""For a commit, the highest ratio of what has a name that begins so."""


def processor_time(rate: Rate) -> Cost:
    return Cost(rate.server_microseconds, "µs", rate.server_wanted)


def build_of(commit: str, work: Path) -> Path:
    """Return a folder with the files of a commit, written if it is not there. Raises BenchFault for an unknown one."""
    try:
        name = _git("rev-parse", "--verify", "--short=12", f"{commit}^{{commit}}").decode().strip()
        folder = work / "builds" / name
        if not folder.exists():
            with tarfile.open(fileobj=io.BytesIO(_git("archive", name))) as archive:
                archive.extractall(folder, filter="data")
    except subprocess.CalledProcessError as error:
        raise BenchFault(f"there is no commit {commit}: {error.stderr.decode().strip()}") from error
    return folder


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=True).stdout


def compare(row: str, bench: Bench, other: Path, repeats: int) -> list[tuple[Costs, Costs]]:
    """Measure the other build, then this one, as often as asked."""
    builds = replace(bench, tree=other), bench
    measure = COMPARED[row] if row != LATENCY else partial(delays, rate=uvloop.run(rate_of_share(bench)))

    def cost_of(build: Bench) -> Costs:
        return uvloop.run(_awaited(measure(build)))

    return [(cost_of(builds[0]), cost_of(builds[1])) for _ in range(repeats)]


async def _awaited(costs: Awaitable[Costs]) -> Costs:
    return await costs


def table(commit: str, pairs: Mapping[str, Sequence[tuple[Costs, Costs]]], about: Mapping[str, str]) -> Table:
    """Return medians, and the median and range of the ratios of neighbouring runs."""
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    where = f"{about['processor']}; Python {about['python']}; load average {load}"
    found = Table(title=f"Cost against {commit}. {where}", title_justify="left")
    for title in ("what", commit, "here", "ratio", "spread", ""):
        found.add_column(title)
    for runs in pairs.values():
        for name in runs[0][0]:
            found.add_row(name, *_cells([(before[name], after[name]) for before, after in runs], _bar(commit, name)))
    return found


def _bar(commit: str, name: str) -> float | None:
    """Return the highest ratio that is wanted against this commit, if there is one."""
    bars = next((found for start, found in BARS.items() if commit.startswith(start)), {})
    return next((bar for start, bar in bars.items() if name.startswith(start)), None)


def _cells(runs: Sequence[tuple[Cost, Cost]], bar: float | None) -> tuple[str, ...]:
    ratios = [after.amount / before.amount for before, after in runs]
    before, after = (statistics.median(run[side].amount for run in runs) for side in (0, 1))
    unit = runs[0][0].unit
    ratio = statistics.median(ratios)
    verdict = "" if bar is None else f"≤ {bar}: {'met' if ratio <= bar else 'NOT MET'}"
    return (
        f"{number(before)} {unit}",
        f"{number(after)} {unit}",
        f"{ratio:.3f}",
        f"{min(ratios):.3f} to {max(ratios):.3f}",
        _doubt([cost for run in runs for cost in run]) or verdict,
    )


def _doubt(costs: Sequence[Cost]) -> str:
    """Return why no verdict is possible; empty if one is."""
    busy, late = min(cost.busy for cost in costs), max(cost.late for cost in costs)
    if busy < BUSY_ENOUGH:
        return f"no verdict: the server was only {busy:.0%} busy"
    if late > LATE_AT_MOST:
        return f"no verdict: the load itself was late, by {late:.0%} of the delay"
    return ""
