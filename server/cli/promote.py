"""`run.py promote`: copy the SQLite database in the data directory to PostgreSQL."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Annotated

import typer

from server.cli import output, progress
from server.cli.errors import CommandError, UsageError
from server.cli.options import AsJson, Config, DataDir
from server.config import logs, settings_sources
from storage import data_dir as locks
from storage import promote as promotion


def promote(
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The postgresql://… URL of an empty database.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Copy and check everything, then roll it back. The server may run.")
    ] = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Copy the SQLite database into PostgreSQL.

    The PostgreSQL database must be empty. All ids stay the same. Stop the server first. Clients continue with their
    cursors. The SQLite file is not changed.

    Example: run.py promote --to postgresql://buzz@db.example/buzz --dry-run
    """
    if not to.startswith(("postgresql://", "postgres://")):
        raise UsageError("--to should be a URL that begins with postgresql://")
    settings = settings_sources.load(config, data_dir=data_dir)
    source = settings.data_dir / locks.DATABASE_NAME
    if not source.exists():
        raise CommandError(f"there is no SQLite database at {source}")
    logs.configure_command(settings)
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(locks.hold(settings.data_dir))
        advance = stack.enter_context(progress.rows_copied())
        done = asyncio.run(promotion.promote(source, to, advance, rehearse=dry_run))
    shown = {
        "rows": sum(done.rows.values()),
        "activities": done.rows["activity"],
        "head_id": done.head_id,
        "epoch": done.epoch,
    }
    if dry_run:
        output.show(
            shown, as_json, "dry run: the copy succeeded and was rolled back. Run it without --dry-run to keep the copy"
        )
    else:
        output.show(shown, as_json, "promoted. Now set BUZZ_DATABASE_URL to that URL and start the server")
