"""`run.py push list` and `push test`: where devices can be woken, and whether one can."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from server.cli import admin, output
from server.cli.options import AsJson, Config, DataDir

_KINDS = ("kind", "configured", "registrations", "refused")
_SILENT = ("person_id", "device_id", "kind", "address", "pushed_at", "unanswered", "last_result")
_OF_PERSON = ("device_id", "kind", "address", "wakes_for", "pushed_at", "answered_at", "last_result")

Person = Annotated[int | None, typer.Option("--person", min=1, help="Only this person's devices.")]


def list_registrations(
    person: Person = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the push services and the devices that do not wake.

    With --person, where that person's devices can be woken. Endpoints and tokens are shown by their last characters.

    Example: run.py push list --person 456
    """
    if person is not None:
        rows = admin.call(config, data_dir, "GET", f"/admin/people/{person}/push")
        shown = rows if as_json else [_row(each) for each in rows]
        output.show_rows(shown, as_json, _OF_PERSON, "The person has no device that can be woken.")
        return
    found = admin.call(config, data_dir, "GET", "/admin/push")
    if as_json:
        output.print_json(found)
        return
    output.show_rows(found["kinds"], False, _KINDS, "")
    silent = [{**each, **each["registration"]} for each in found["silent"]]
    output.show_rows(silent, False, _SILENT, "Every device that was pushed has woken.")


def try_out(
    person: Annotated[int, typer.Option("--person", min=1, help="Whose device it is.")],
    device: Annotated[str, typer.Option("--device", help="The device_id.")],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Send a test push to a device, and show the answer.

    Ends with status 1 if no service accepted it.

    Example: run.py push test --person 456 --device phone
    """
    path = f"/admin/people/{person}/push/test"
    results = admin.call(config, data_dir, "POST", path, json={"device_id": device})["results"]
    output.show_rows(results, as_json, ("kind", "result", "detail"), "")
    if not any(each["result"] == "accepted" for each in results):
        raise typer.Exit(1)


def _row(registration: dict[str, Any]) -> dict[str, Any]:
    wakes = ", ".join(name for name, chosen in registration["wake"].items() if chosen)
    return {**registration, "wakes_for": wakes}
