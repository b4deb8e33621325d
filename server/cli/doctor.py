"""`run.py doctor`: check this installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from server.cli.options import AsJson, Config, DataDir

if TYPE_CHECKING:
    from server.config.settings import Settings


def register(app: typer.Typer) -> None:
    """Add `doctor`."""
    app.command("doctor")(doctor)


def doctor(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Check everything that Buzz depends on, and say what to do about each problem.

    Checks the whole database, which takes a while for a large one. Ends with status 1 if something does not work.

    Example: run.py doctor
    """
    from server.cli.output import show_rows
    from server.config.settings_sources import load
    from server.services.operator.doctor import Health

    found = _findings(load(config, data_dir=data_dir))
    show_rows(found, as_json, ("check", "health", "detail"), "")
    if any(finding["health"] == Health.FAIL for finding in found):
        raise typer.Exit(1)


def _findings(settings: Settings) -> list[dict[str, Any]]:
    """Return the findings of the server that runs here, by its own settings; without one, check from this process."""
    from server.cli.admin import run
    from server.cli.errors import explain
    from server.services.operator.doctor import Finding, Health, examine_machine

    try:
        found: list[dict[str, Any]] = run(settings, lambda admin: admin.call("GET", "/admin/doctor"))
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        return [each._asdict() for each in (*examine_machine(settings), Finding("storage", Health.FAIL, line))]
    return found
