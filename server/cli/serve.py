"""`run.py serve`: run the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from server import app
from server.cli import guide, output
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
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the settings and exit.")] = False,
) -> None:
    """Run the server until SIGTERM or Ctrl-C, then drain it.

    Prints `listening on http://HOST:PORT` when it is ready. A second signal skips the wait.

    Example: run.py serve --dev --port 8080
    """
    mode = "development" if dev else None
    chosen = settings_sources.load(config, mode=mode, host=host, port=port, data_dir=data_dir)
    if print_config:
        output.say_lines(settings_sources.as_toml(chosen))
        return
    _check(chosen)
    with _announced(chosen) as ready:
        _run(chosen, ready)


def _check(chosen: settings.Settings) -> None:
    found = production.faults(chosen)
    if found:
        raise CommandError(" ".join([*found, "(Or start in development mode with --dev.)"]))


@contextmanager
def _announced(chosen: settings.Settings) -> Iterator[Callable[[str], None]]:
    """Lock the data directory if the database is in it. Announce the URL there and on standard output."""

    def show(url: str) -> None:
        output.say(f"listening on {url}")
        if chosen.development:
            output.say_lines(guide.guide(chosen, url))

    if chosen.database_url is not None:
        chosen.data_dir.mkdir(parents=True, exist_ok=True)
        yield show
        return
    with locks.hold(chosen.data_dir) as lock:

        def announce(url: str) -> None:
            lock.announce(url)
            show(url)

        yield announce


def _run(chosen: settings.Settings, ready: Callable[[str], None]) -> None:
    logs.configure(chosen)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(app.serve(chosen, ready, demo=chosen.development))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop factory if uvloop is installed."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop
