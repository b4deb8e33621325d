"""`run.py erase`: a person and everything about them."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.options import AsJson, Config, DataDir


def register(app: typer.Typer) -> None:
    """Add `erase`."""
    app.command("erase")(erase)


def erase(
    person: Annotated[int, typer.Option(metavar="ID", help="Whom.")],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person: directory entry, keys, devices, blocked calls, privacy data, and the text of what they wrote.

    Their messages stay as empty tombstones with id and time, so that nobody's history breaks; their number rests; their
    tokens stop to count. There is no way back but a backup. May be repeated, also after a crash.

    Example: run.py erase --person 456
    """
    from server.cli.admin import call
    from server.cli.output import show

    show(call(config, data_dir, "POST", "/admin/erasures", json={"person_id": person}), as_json, "erased")
