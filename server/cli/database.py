"""`run.py migrate`, `backup`, `restore`, `new-epoch`: commands for the whole database."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from server.cli import admin, output
from server.cli.consent import Yes, agree
from server.cli.errors import CommandError
from server.cli.options import AsJson, Config, DataDir
from server.config import logs, settings_sources
from storage import data_dir as locks
from storage import migrate as migration
from storage import opening
from storage import restore as restoring
from storage.sqlite import files

if TYPE_CHECKING:
    from server.config.settings import Settings


_REPEAT: Final = "What was erased or revoked since the backup was made is back: erase and revoke it again."


def migrate(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Bring the database schema up to date with this release.

    Each step is one transaction.

    Example: run.py migrate
    """
    settings = settings_sources.load(config, data_dir=data_dir)
    if settings.database_url is None and locks.holder(settings.data_dir) is not None:
        # A server does not start on a schema of another release.
        output.show_rows(
            [], as_json, (), "Nothing to apply: a server runs on this database, so its schema is up to date."
        )
        return
    logs.configure_command(settings)
    steps = asyncio.run(_migrate(settings))
    rows = [{"step": step.number, "name": step.name} for step in steps]
    output.show_rows(rows, as_json, ("step", "name"), "Nothing to apply: the schema is up to date.")


def backup(
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="A new file, or the folder in which to create one.")
    ],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Copy the database to a file, while the server runs.

    The copy has the database as it is at one moment. It does not contain the signing key: store signing-key.pem safely
    and separately. For SQLite: back up PostgreSQL with pg_dump.

    Example: run.py backup /backups/buzz.db
    """
    if destination.exists() and not destination.is_dir():
        raise CommandError(f"{destination} exists already: name a new file.")
    if not destination.is_dir() and not destination.absolute().parent.is_dir():
        raise CommandError(f"there is no folder {destination.absolute().parent}.")
    made = admin.call(config, data_dir, "POST", "/admin/backups")
    folder = settings_sources.load(config, data_dir=data_dir).data_dir / locks.BACKUP_FOLDER
    placed = destination / made["name"] if destination.is_dir() else destination
    files.move(folder / made["name"], placed)
    with suppress(OSError):  # the folder contains another command's backup
        folder.rmdir()
    output.show({"file": str(placed), "bytes": made["bytes"]}, as_json, "backed up")


def restore(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A file that `backup` created.")],
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in place; stop the server first.

    Asks before it replaces a database. The replaced database is kept beside the new one. The log gets a new epoch, so
    that clients catch up from the beginning. For SQLite: restore PostgreSQL with pg_restore, then use new-epoch.

    Example: run.py restore /backups/buzz.db
    """
    settings = settings_sources.load(config, data_dir=data_dir)
    if settings.database_url is not None:
        raise CommandError("the database is PostgreSQL: restore it with pg_restore, then run `run.py new-epoch`.")
    with locks.hold(settings.data_dir):
        here, backed_up = (
            restoring.held(settings.data_dir / locks.DATABASE_NAME),
            restoring.held(source),
        )
        if here is not None and backed_up is not None:
            lost = max(0, here.head_id - backed_up.head_id)
            agree(
                f"The database in {settings.data_dir} (newest activity {here.head_id}) will be replaced by {source}"
                f" (newest activity {backed_up.head_id}): {lost} activities are not in it.",
                yes,
            )
        done = asyncio.run(restoring.restore(source, settings.data_dir))
    previous = str(done.previous) if done.previous else None
    kept = f" {previous} has what was there before: delete it when you do not need it." if previous else ""
    output.tell(f"{_REPEAT}{kept}")
    output.show({"head_id": done.head_id, "epoch": done.epoch, "previous": previous}, as_json, "restored")


def new_epoch(yes: Yes = False, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Give the log a new epoch after pg_restore; stop all nodes first.

    Asks first. After an older copy of a PostgreSQL database was put back, ids are given out a second time. With a new
    epoch, clients forget their position and catch up from the beginning. `restore` does this itself for SQLite.

    Example: run.py new-epoch
    """
    settings = settings_sources.load(config, data_dir=data_dir)
    if settings.database_url is None:
        raise CommandError("the database is SQLite: `run.py restore` gives its log a new epoch.")
    agree("The log will get a new epoch: every device will fetch all of its activities again.", yes)
    logs.configure_command(settings)
    done = asyncio.run(_new_epoch(settings, settings.database_url.get_secret_value()))
    output.tell(_REPEAT)
    output.show({"head_id": done.head_id, "epoch": done.epoch}, as_json, "the log has a new epoch")


async def _new_epoch(settings: Settings, database_url: str) -> restoring.NewHistory:
    async with opening.open_storage(settings.data_dir, database_url) as (database, log):
        return await restoring.begin_new_history(database, log)


async def _migrate(settings: Settings) -> list[migration.Step]:
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            stack.enter_context(locks.hold(settings.data_dir))
            opened = opening.open_storage(settings.data_dir, None)
        else:
            # Nodes of the previous release continue to run: steps only add.
            opened = opening.open_storage(settings.data_dir, settings.database_url.get_secret_value())
        database, _ = await stack.enter_async_context(opened)
        return await migration.migrate(database)
