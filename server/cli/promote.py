"""`run.py promote`: copy the SQLite database in the data directory to PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from server.cli.errors import CommandError
from server.cli.options import AsJson, Config, DataDir
from server.cli.output import progress_console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("promote")(promote)


def promote(
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The postgresql://… URL of an empty database.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Copy and check everything, then roll it back. The server may run.")
    ] = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Copy the SQLite database into an empty PostgreSQL database and keep all ids; stop the server first.

    Clients continue with their cursors. The SQLite file is not changed.

    Example: run.py promote --to postgresql://buzz@db.example/buzz --dry-run
    """
    from server.cli.output import show
    from server.config.settings_sources import load
    from storage.data_dir import DATABASE_NAME, hold
    from storage.promote import promote as copy

    if not to.startswith(("postgresql://", "postgres://")):
        raise CommandError("--to should be a URL that begins with postgresql://")
    settings = load(config, data_dir=data_dir)
    source = settings.data_dir / DATABASE_NAME
    if not source.exists():
        raise CommandError(f"there is no SQLite database at {source}")
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(hold(settings.data_dir))
        advance = stack.enter_context(_progress())
        done = asyncio.run(copy(source, to, advance, rehearse=dry_run))
    shown = {
        "rows": sum(done.rows.values()),
        "activities": done.rows["activity"],
        "head_id": done.head_id,
        "epoch": done.epoch,
    }
    if dry_run:
        show(
            shown, as_json, "dry run: the copy succeeded and was rolled back. Run it without --dry-run to keep the copy"
        )
    else:
        show(shown, as_json, "promoted. Now set BUZZ_DATABASE_URL to that URL and start the server")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar for each table on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda table, copied, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=progress_console(), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(table: str, copied: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = bars.add_task(table, total=total)
            bars.update(tasks[table], completed=copied)

        yield advance
