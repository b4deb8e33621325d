"""The data of the rows: a directory of people, a history if one is needed, tokens for everybody."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import msgspec

from bench import history
from bench.history import History
from bench.process import REPOSITORY, BenchFault, ServerProcess, script
from bench.tokens import Tokens

FIRST_COMPANY = 1
CONTACTS_A_PERSON = 10


@dataclass(frozen=True, slots=True)
class World:
    """The directory and the history of a row.

    People 1 to `people`; company 1 with people 1 to `company_members`; a phone number and ten contacts for each of the
    first `with_numbers`; and a history of activities.
    """

    people: int
    company_members: int = 0
    with_numbers: int = 0
    history: History | None = None


class Reached(Protocol):
    """A server that the load can reach, with tokens for it."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def tokens(self) -> Tokens: ...


@dataclass(frozen=True)
class Address:
    """A server that another process has started, by its address and data directory."""

    host: str
    port: int
    data_dir: Path

    @cached_property
    def tokens(self) -> Tokens:
        return Tokens(self.data_dir)


@dataclass(frozen=True)
class Buzz:
    """A running server and its tokens."""

    process: ServerProcess
    data_dir: Path

    @property
    def host(self) -> str:
        return self.process.host

    @property
    def port(self) -> int:
        return self.process.port

    @cached_property
    def tokens(self) -> Tokens:
        return Tokens(self.data_dir)


async def settle(
    world: World,
    work: Path,
    *,
    keep: str,
    say: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
    tree: Path = REPOSITORY,
) -> Path:
    """Prepare a data directory with this world. A kept one is made again only if the world has changed.

    The commands of the build in `tree` do it.

    `environment` may name another database than the directory's own, which is then migrated and filled.
    """
    directory = work / "data" / (keep or "fresh")
    marker = directory / "world.json"
    wanted = msgspec.json.encode(world)
    if keep and marker.exists() and marker.read_bytes() == wanted:
        await run_command("migrate", "--data-dir", str(directory), environment=environment, tree=tree)
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    say("importing the directory")
    await run_command("migrate", "--data-dir", str(directory), environment=environment, tree=tree)
    lines = write_directory(world, directory / "directory.ndjson")
    await run_command("import", str(lines), "--data-dir", str(directory), environment=environment, tree=tree)
    if world.history is not None:
        say(f"storing {world.history.activities:,} activities")
        await asyncio.to_thread(history.store, world.history, directory)
    marker.write_bytes(wanted)
    return directory


def write_directory(world: World, path: Path) -> Path:
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:
        file.writelines(encoder.encode(item) + b"\n" for item in directory(world))
    return path


async def run_command(*arguments: str, environment: Mapping[str, str] | None = None, tree: Path = REPOSITORY) -> None:
    """Run one of `run.py`'s commands; BenchFault, with its output, if it fails."""
    process = await asyncio.create_subprocess_exec(
        *script("run.py", *arguments, tree=tree),
        cwd=tree,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise BenchFault(f"run.py {' '.join(arguments)} failed:\n{output.decode(errors='replace')}")


def directory(world: World) -> Iterator[Mapping[str, object]]:
    """Yield the lines of `run.py import`: people, their numbers and contacts, the company and its members."""
    for person in range(1, world.people + 1):
        yield {"kind": "person", "id": person, "first_name": f"Given{person}", "middle_name": None,
               "last_name": f"Family{person}", "avatar": None, "numbers": []}  # fmt: skip
    for person in range(1, world.with_numbers + 1):
        yield {"kind": "number", "number": buzz_number(person), "person_id": person}
        for nth in range(CONTACTS_A_PERSON):
            yield {"kind": "contact", "id": person * CONTACTS_A_PERSON + nth, "person_id": person, "first_name": "Bob",
                   "last_name": "Ray", "numbers": [contact_number(person, nth)], "trusted": True}  # fmt: skip
    if world.company_members:
        yield {"kind": "company", "id": FIRST_COMPANY, "name": "Acme", "avatar": None, "numbers": []}
    for person in range(1, world.company_members + 1):
        yield {"kind": "member", "company_id": FIRST_COMPANY, "person_id": person}


def buzz_number(person: int) -> str:
    return f"+1238{5_000_000 + person:07d}"


def contact_number(person: int, nth: int) -> str:
    return f"+1987{person * CONTACTS_A_PERSON + nth:07d}"


def unknown_number(nth: int) -> str:
    """Return a number that is in no contact."""
    return f"+1613{nth % 10_000_000:07d}"
