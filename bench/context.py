"""The context of a row: sizes, folders, servers and controls on the right core, and the progress display."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import world
from bench.cores import Cores
from bench.process import REPOSITORY, ServerProcess, module, script, serving
from bench.world import Buzz, World

# Production's settings. Its limits stay on, but above what a hundred people on one machine reach.
SETTINGS: Mapping[str, str] = {
    "BUZZ_MODE": "production",
    "BUZZ_PUBLIC_URL": "https://buzz.example",
    "BUZZ_SEND_RATE_LIMIT": "1000000",
    "BUZZ_FRAME_RATE_LIMIT": "1000000",
}


@dataclass(frozen=True, slots=True)
class Bench:
    """The bench. `quick` uses sizes that only show that the bench runs; its figures mean nothing.

    `say` changes the text beside the progress bar. `tree` is the folder of the build whose server is measured.
    """

    work: Path
    cores: Cores
    quick: bool
    say: Callable[[str], None]
    tree: Path = REPOSITORY

    def pick(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @property
    def seconds(self) -> float:
        """How long a rate is measured, after `warm_up_seconds`."""
        return 0.3 if self.quick else 5.0

    @property
    def warm_up_seconds(self) -> float:
        return 0.2 if self.quick else 1.5

    @asynccontextmanager
    async def controls(self) -> AsyncIterator[ServerProcess]:
        """Run the bare aiohttp handlers, on the server's core."""
        command = module("bench.controls")
        async with serving(command, core=self.cores.server, log=self.work / "controls.log") as process:
            yield process

    @asynccontextmanager
    async def buzz(
        self, inhabitants: World, *, keep: str = "", environment: Mapping[str, str] | None = None
    ) -> AsyncIterator[Buzz]:
        """Run Buzz on the server's core, with a directory and a history of its own.

        With `keep`, the data directory of that name is reused by later runs (a long history takes minutes to make);
        otherwise it is new.
        """
        directory = await world.settle(
            inhabitants, self.work, keep=keep, say=self.say, environment=environment, tree=self.tree
        )
        async with self.node(directory, environment=environment) as buzz:
            yield buzz

    @asynccontextmanager
    async def node(
        self,
        directory: Path,
        *,
        name: str = "buzz",
        environment: Mapping[str, str] | None = None,
        workers: int | None = None,
    ) -> AsyncIterator[Buzz]:
        """Run another Buzz on the server's core, on a prepared data directory. Its log is `name`.log.

        With `workers` it has so many, which may use the load's core as well.
        """
        how_many, cores = [], [self.cores.server]
        if workers is not None:
            how_many, cores = ["--workers", str(workers)], [self.cores.server, self.cores.load]
        command = script("run.py", "serve", "--port", "0", "--data-dir", str(directory), *how_many, tree=self.tree)
        log = self.work / f"{name}.log"
        settings = {**SETTINGS, **(environment or {})}
        async with serving(command, core=cores, log=log, environment=settings, tree=self.tree) as process:
            yield Buzz(process, directory)
