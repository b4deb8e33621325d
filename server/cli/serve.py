"""`run.py serve`: run the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from server import app
from server.cli import guide, output
from server.cli import workers as workers_of_machine
from server.cli.errors import CommandError
from server.cli.options import Config, DataDir
from server.config import logs, settings, settings_sources
from server.services.operator import production
from storage import data_dir as locks


def serve(
    dev: Annotated[
        bool, typer.Option("--dev", help="Development mode: demo people, fictional numbers, no production checks.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port to listen on; 0 picks a free one.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
    workers: Annotated[
        int,
        typer.Option(min=1, max=64, help="Nodes on one port, a process each (with PostgreSQL)."),
    ] = 1,
    worker: Annotated[
        int | None, typer.Option(hidden=True, help="Be this one of the workers: only the supervisor sets it.")
    ] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the settings and exit.")] = False,
) -> None:
    """Run the server until SIGTERM or Ctrl-C, then drain it.

    Prints `listening on http://HOST:PORT` when it is ready. A second signal skips the wait.

    With --workers N it runs N nodes on one port, starts one again that ends by itself, and drains all of them.

    Examples: run.py serve --dev --port 8080 · run.py serve --workers 4
    """
    mode = "development" if dev else None
    chosen = settings_sources.load(config, mode=mode, host=host, port=port, data_dir=data_dir)
    if print_config:
        output.say_lines(settings_sources.as_toml(chosen))
        return
    _check(chosen)
    if worker is not None:
        shared = app.SharedPort(workers_of_machine.tell_supervisor, workers_of_machine.until_supervisor_ends)
        _run(chosen, demo=chosen.development and worker == 1, shared=shared)
    elif workers > 1:
        _supervise(chosen, workers, dev=dev, data_dir=data_dir, config=config)
    else:
        with _announced(chosen) as ready:
            _run(chosen, ready, demo=chosen.development)


def _supervise(
    chosen: settings.Settings, workers: int, *, dev: bool, data_dir: Path | None, config: Path | None
) -> None:
    refusal = workers_of_machine.refusal(chosen)
    if refusal is not None:
        raise CommandError(refusal)
    logs.configure(chosen)
    command = workers_of_machine.command(dev=dev, host=chosen.host, data_dir=data_dir, config=config)
    asyncio.run(workers_of_machine.Supervisor(chosen, command, workers, _show(chosen)).run())


def _check(chosen: settings.Settings) -> None:
    found = production.faults(chosen)
    if found:
        raise CommandError(" ".join([*found, "(Or start in development mode with --dev.)"]))


@contextmanager
def _announced(chosen: settings.Settings) -> Iterator[Callable[[str], None]]:
    """Lock the data directory if the database is in it. Announce the URL there and on standard output."""

    show = _show(chosen)
    if chosen.database_url is not None:
        chosen.data_dir.mkdir(parents=True, exist_ok=True)
        yield show
        return
    with locks.hold(chosen.data_dir) as lock:

        def announce(url: str) -> None:
            lock.announce(url)
            show(url)

        yield announce


def _show(chosen: settings.Settings) -> Callable[[str], None]:
    def show(url: str) -> None:
        output.say(f"listening on {url}")
        if chosen.development:
            output.say_lines(guide.guide(chosen, url))

    return show


def _run(
    chosen: settings.Settings,
    ready: Callable[[str], None] = lambda url: None,
    *,
    demo: bool,
    shared: app.SharedPort | None = None,
) -> None:
    logs.configure(chosen)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(app.serve(chosen, ready, demo, shared))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop factory if uvloop is installed."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop
