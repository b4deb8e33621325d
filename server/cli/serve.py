"""`run.py serve`: run the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.errors import CommandError
from server.cli.options import Config, DataDir
from server.cli.output import say, say_lines

if TYPE_CHECKING:
    from server.config.settings import Settings


def register(app: typer.Typer) -> None:
    """Add `serve`."""
    app.command("serve")(serve_command)


def serve_command(
    dev: Annotated[
        bool, typer.Option("--dev", help="Development mode: demo people, fictional numbers, no production checks.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the settings and exit.")] = False,
) -> None:
    """Run the server until SIGTERM or Ctrl-C, then drain it; a second signal skips the wait.

    Prints `listening on http://HOST:PORT` when it is ready.

    Example: run.py serve --dev --port 8080
    """
    from server.config.settings_sources import as_toml, load

    settings = load(config, mode="development" if dev else None, host=host, port=port, data_dir=data_dir)
    if print_config:
        say_lines(as_toml(settings))
        return
    _check(settings)
    with _announced(settings) as ready:
        _run(settings, ready)


def _check(settings: Settings) -> None:
    from server.services.operator.production import faults

    found = faults(settings)
    if found:
        raise CommandError(" ".join([*found, "(Or start in development mode with --dev.)"]))


@contextmanager
def _announced(settings: Settings) -> Iterator[Callable[[str], None]]:
    """Lock the data directory if the database is in it. Announce the URL there and on standard output."""
    from server.cli.guide import guide
    from storage.data_dir import hold

    def show(url: str) -> None:
        say(f"listening on {url}")
        if settings.development:
            say_lines(guide(settings, url))

    if settings.database_url is not None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        yield show
        return
    with hold(settings.data_dir) as lock:

        def announce(url: str) -> None:
            lock.announce(url)
            show(url)

        yield announce


def _run(settings: Settings, ready: Callable[[str], None]) -> None:
    from server.app import serve
    from server.config.logs import configure

    configure(settings)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(settings, ready, demo=settings.development))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop factory if uvloop is installed."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop
