"""`run.py doctor`: is this installation sound?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from server.cli.options import AsJson, Config, DataDir

if TYPE_CHECKING:
    from server.settings import Settings


def register(app: typer.Typer) -> None:
    """Add `doctor`."""
    app.command("doctor")(doctor)


def doctor(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Look at everything that Buzz stands on, and say what to do about what is not well.

    Checks the whole database, which takes a while for a large one. Ends with 1 if something does not work.

    Example: run.py doctor
    """
    from server.cli.output import show_rows
    from server.services.doctor import Health, examine_machine
    from server.settings_sources import load

    settings = load(config, data_dir=data_dir)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    found = [*(finding._asdict() for finding in examine_machine(settings)), *_storage(settings)]
    show_rows(found, as_json, ("check", "health", "detail"), "")
    if any(finding["health"] == Health.FAIL for finding in found):
        raise typer.Exit(1)


def _storage(settings: Settings) -> list[dict[str, Any]]:
    """The database's findings; that it can't be opened is one."""
    from server.cli.admin import run
    from server.cli.errors import explain
    from server.services.doctor import Finding, Health

    try:
        found: list[dict[str, Any]] = run(settings, lambda admin: admin.call("GET", "/admin/doctor"))
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        return [Finding("storage", Health.FAIL, line)._asdict()]
    return found
