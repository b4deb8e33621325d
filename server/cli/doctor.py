"""`run.py doctor`: check this installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from server.bus import contract as bus
from server.cli import admin, errors, output
from server.cli.options import AsJson, Config, DataDir
from server.config import settings_sources
from server.services.operator import doctor as checks

if TYPE_CHECKING:
    from server.config.settings import Settings


def doctor(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Check everything that Buzz depends on.

    Says what to do about each problem. Checks the whole database, which takes a while for a large one. Ends with status
    1 if something does not work.

    Example: run.py doctor
    """
    found = _findings(settings_sources.load(config, data_dir=data_dir))
    output.show_rows(found, as_json, ("check", "health", "detail"), "")
    if any(finding["health"] == checks.Health.FAIL for finding in found):
        raise typer.Exit(1)


def _findings(settings: Settings) -> list[dict[str, Any]]:
    """Return the findings of the server that runs here, by its own settings; without one, check from this process."""
    try:
        found: list[dict[str, Any]] = admin.run(settings, lambda api: api.call("GET", "/admin/doctor"))
    except Exception as error:
        line = errors.explain(error)
        if line is None:
            raise
        part = "bus" if isinstance(error, bus.BusError) else "storage"
        failed = checks.Finding(part, checks.Health.FAIL, line)
        return [
            {name: getattr(each, name) for name in each.__struct_fields__}
            for each in (*checks.examine_machine(settings), failed)
        ]
    return found
