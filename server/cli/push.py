"""`run.py push list` and `push test`: where devices can be woken, and whether one can."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from server.cli import admin, output
from server.cli.options import AsJson, Config, DataDir

_KINDS = ("kind", "configured", "registrations", "refused")
_SILENT = ("person_id", "device_id", "kind", "address", "pushed_at", "unanswered", "last_result")
_OF_PERSON = ("device_id", "kind", "address", "wakes_for", "pushed_at", "answered_at", "last_result")

_NO_DEVICE: Final = "No device is registered for push: a device registers when its user turns notifications on."
_ALL_AWAKE: Final = "Every device that was pushed has connected since."
_SILENT_SINCE: Final = (
    "These devices were pushed and have not connected since. They may be switched off, or their app may be gone or "
    "kept from running; `run.py push test` shows whether the service still takes a push."
)
_MEANINGS: Final = {
    "accepted": "the service has the push, and delivers it when the device is switched on and connected.",
    "gone": "the device is not registered at the service any more, and Buzz has forgotten it. Open its app once: it "
    "registers again.",
    "refused": "the service does not take this push; the detail says why.",
    "unavailable": "the service was not reached, or asks to wait. Try again later.",
    "unknown": "the service got the push and did not answer. Look at the device: the push may have arrived.",
}

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
        nobody = (
            f"Person {person} has no device that can be woken: a device registers when its user turns notifications on."
        )
        output.show_rows(shown, as_json, _OF_PERSON, nobody)
        return
    found = admin.call(config, data_dir, "GET", "/admin/push")
    if as_json:
        output.print_json(found)
        return
    output.show_rows(found["kinds"], False, _KINDS, "")
    silent = [{**each, **each["registration"]} for each in found["silent"]]
    if silent:
        output.say(_SILENT_SINCE)
    registered = any(each["registrations"] for each in found["kinds"])
    output.show_rows(silent, False, _SILENT, _ALL_AWAKE if registered else _NO_DEVICE)


def try_out(
    person: Annotated[int, typer.Option("--person", min=1, help="Whose device it is.")],
    device: Annotated[str, typer.Option("--device", help="The device_id.")],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Send a test push to a device, and show the answer.

    Says what the answer means. Ends with status 1 if no service accepted it.

    Example: run.py push test --person 456 --device phone
    """
    path = f"/admin/people/{person}/push/test"
    results = admin.call(config, data_dir, "POST", path, json={"device_id": device})["results"]
    output.show_rows(results, as_json, ("kind", "result", "detail"), "")
    if not as_json:
        for result in dict.fromkeys(each["result"] for each in results):
            output.say(f"{result}: {_MEANINGS[result]}")
    if not any(each["result"] == "accepted" for each in results):
        raise typer.Exit(1)


def _row(registration: dict[str, Any]) -> dict[str, Any]:
    wakes = ", ".join(name for name, chosen in registration["wake"].items() if chosen)
    return {**registration, "wakes_for": wakes}
