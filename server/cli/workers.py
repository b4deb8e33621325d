"""`run.py serve --workers N`: N nodes of this machine on one port, and the process that starts and watches them.

Each worker is a node of its own, as on a machine of its own: they share the database and the bus, and the kernel gives
each new connection to one of them (SO_REUSEPORT, socket(7)). The supervisor serves nobody. It starts a worker again
that ends by itself, passes signals on, and answers for all of them on the port for metrics.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import structlog
from aiohttp import web

from server.cli import output
from server.cli.errors import CommandError
from server.config.settings import Settings
from server.http.listening import HttpServer, listen, reserve
from server.runtime.telemetry import CONTENT_TYPE

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
"""Before a worker is started again: doubled each time that it ends before it is ready."""
ASK_SECONDS = 5.0
_READY = "worker is ready: "
_logger = structlog.get_logger("workers")


def refusal(settings: Settings) -> str | None:
    """Return why several workers can't run with these settings, and what to do; None if they can."""
    if settings.database_url is None:
        return (
            "--workers needs PostgreSQL: one process alone may write to a SQLite file. Set BUZZ_DATABASE_URL and"
            " BUZZ_BUS_URL (docs/operation.md), or start one process without --workers."
        )
    if settings.bus_url is None:
        return "--workers needs a bus, by which the workers notify each other: set BUZZ_BUS_URL (docs/operation.md)."
    return None


def tell_supervisor(metrics_url: str) -> None:
    """Say, as a worker, that this node listens, and where it answers for itself alone."""
    output.say(f"{_READY}{metrics_url}")


@dataclass(slots=True)
class Worker:
    """One place for a node: its process, which may be started again, and the URL of its own metrics if it is ready."""

    number: int
    process: asyncio.subprocess.Process | None = None
    url: str | None = None
    pause_seconds: float = FIRST_PAUSE_SECONDS


@dataclass(slots=True)
class Supervisor:
    """Runs the workers until a signal. ``command`` starts one; its port and number are added.

    ``announce(url)`` is called when all of them listen.
    """

    settings: Settings
    command: Sequence[str]
    count: int
    announce: Callable[[str], None]
    _workers: list[Worker] = field(default_factory=list)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _first_ready: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, which every worker gets; a second one ends their waits for sessions.

        Raises CommandError if a worker ends before all were ready for the first time.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        async with AsyncExitStack() as stack:
            port = stack.enter_context(reserve(self.settings.host, self.settings.port))
            self._workers = [Worker(number) for number in range(1, self.count + 1)]
            if self.settings.metrics_port is not None:
                await self._serve_metrics(stack, self.settings.metrics_port)
            try:
                async with asyncio.TaskGroup() as tasks:
                    for worker in self._workers:
                        tasks.create_task(self._keep(worker, port), name=f"worker {worker.number}")
                    tasks.create_task(self._announce(port), name="workers ready")
            except ExceptionGroup as group:
                raise group.exceptions[0] from group

    async def _announce(self, port: int) -> None:
        await self._ready.wait()
        if not self._stopping.is_set():
            host = self.settings.host
            self.announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def _keep(self, worker: Worker, port: int) -> None:
        """Run a worker, and run it again whenever it ends by itself."""
        if worker.number > 1:  # the first one makes the key and the schema, if there are none
            await self._first_ready.wait()
        while not self._stopping.is_set():
            status = await self._run(worker, port)
            if self._stopping.is_set():
                return
            if not self._ready.is_set():
                self._stop()
                raise CommandError(f"worker {worker.number} ended with status {status} before it was ready: see above.")
            _logger.error("worker ended: it is started again", worker=worker.number, status=status)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), worker.pause_seconds)
            worker.pause_seconds = min(2 * worker.pause_seconds, LONGEST_PAUSE_SECONDS)

    async def _run(self, worker: Worker, port: int) -> int:
        # A session of its own: Ctrl-C in a terminal reaches the supervisor alone, which passes it on once. Its standard
        # input ends with the supervisor, also if that is killed: then the worker drains.
        process = worker.process = await asyncio.create_subprocess_exec(
            *self.command, "--port", str(port), "--worker", str(worker.number),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        if self._stopping.is_set():  # meanwhile
            process.terminate()
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            if line.startswith(_READY):
                worker.url, worker.pause_seconds = line.removeprefix(_READY), FIRST_PAUSE_SECONDS
                self._first_ready.set()
                if all(each.url is not None for each in self._workers):
                    self._ready.set()
            else:
                output.say(line)
        worker.url = None
        return await process.wait()

    def _stop(self) -> None:
        """Pass a signal on to every worker: the first one drains it, the second one ends its wait."""
        self._stopping.set()
        self._first_ready.set()
        self._ready.set()
        for worker in self._workers:
            if worker.process is not None and worker.process.returncode is None:
                with suppress(ProcessLookupError):
                    worker.process.terminate()

    # --- metrics ------------------------------------------------------------------------------------------------

    async def _serve_metrics(self, stack: AsyncExitStack, port: int) -> None:
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_SECONDS)))

        async def metrics(request: web.Request) -> web.Response:
            headers = {name: request.headers[name] for name in ("Authorization",) if name in request.headers}
            answers = await self._ask(http, "/metrics", headers)
            refused = next((answer for answer in answers.values() if answer[0] in (401, 403)), None)
            if refused is not None:
                return web.Response(status=refused[0], text=refused[1], content_type="application/json")
            texts = {number: text for number, (status, text) in answers.items() if status == 200}
            return web.Response(body=merged(texts).encode(), headers={"Content-Type": CONTENT_TYPE})

        async def health(request: web.Request) -> web.Response:
            answers = await self._ask(http, request.path, {})
            good = len(answers) == self.count and all(status == 200 for status, _ in answers.values())
            status = 200 if good and not self._stopping.is_set() else 503
            body = {"ready": sum(status == 200 for status, _ in answers.values()), "workers": self.count}
            return web.json_response(body, status=status, headers={"Cache-Control": "no-store"})

        application = web.Application()
        routes = [web.get("/metrics", metrics), web.get("/healthz", health), web.get("/readyz", health)]
        application.add_routes(routes)
        host = self.settings.metrics_host or self.settings.host
        server = HttpServer(application, listen(host, port, "BUZZ_METRICS_PORT"))
        await server.start()
        stack.push_async_callback(server.close)

    async def _ask(self, http: aiohttp.ClientSession, path: str, headers: dict[str, str]) -> dict[int, tuple[int, str]]:
        """Return each ready worker's answer: status and text."""
        asked = [worker for worker in self._workers if worker.url is not None]

        async def ask(url: str) -> tuple[int, str]:
            try:
                async with http.get(f"{url}{path}", headers=headers) as answer:
                    return answer.status, await answer.text()
            except (aiohttp.ClientError, TimeoutError) as error:
                _logger.warning("a worker does not answer", reason=str(error) or type(error).__name__)
                return 503, ""

        answers = await asyncio.gather(*(ask(worker.url or "") for worker in asked))
        return {worker.number: answer for worker, answer in zip(asked, answers, strict=True)}


def merged(texts: dict[int, str]) -> str:
    """Return the metrics of several workers as one text: each sample gets the label ``worker``."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for number, text in texts.items():
        family = ""
        seen: set[str] = set()
        for line in text.splitlines():
            if line.startswith("# EOF") or not line:
                continue
            if line.startswith("# "):
                family = line.split(" ", 3)[2]
                if family not in heads or family in seen:
                    heads.setdefault(family, []).append(line)
                    seen.add(family)
            else:
                samples.setdefault(family, []).append(_labelled(line, number))
    lines = [line for family, head in heads.items() for line in (*head, *samples.get(family, ()))]
    return "\n".join([*lines, ""])


def _labelled(sample: str, number: int) -> str:
    name, brace, rest = sample.partition("{")
    if brace and " " not in name:
        return f'{name}{{worker="{number}",{rest}' if not rest.startswith("}") else f'{name}{{worker="{number}"{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{number}"}} {value}'


def command(*, dev: bool, host: str, data_dir: Path | None, config: Path | None) -> list[str]:
    """Return the command of one worker: this program with the same options."""
    options = [("--host", host), ("--data-dir", data_dir), ("--config", config)]
    given = [part for name, value in options if value is not None for part in (name, str(value))]
    return [sys.executable, os.path.abspath(sys.argv[0]), "serve", *(["--dev"] if dev else []), *given]


def until_supervisor_ends(stop: asyncio.Event) -> None:
    """Set ``stop`` when the supervisor, whose pipe is our standard input, has ended."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        if not os.read(0, 4_096):
            loop.remove_reader(0)
            stop.set()

    loop.add_reader(0, ended)
