"""`run.py find` and `explain`: look up people and companies, and how far an activity has come."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from server.cli import admin, output
from server.cli.options import AsJson, Config, DataDir

_PERSON = ("person", "name", "numbers", "buzz_number", "companies")
_COMPANY = ("company", "name", "numbers")
_DEVICE = ("side", "person_id", "device_id", "state", "connected_at", "received_id", "seen_at")


def find(
    text: Annotated[str, typer.Argument(help="A part of a name, the beginning of a number (+1202…), or an id.")],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Find people and companies by name, number or id.

    At most 100 of each are shown, in the order of their ids.

    Example: run.py find "jane smi"
    """
    query = {"q": text, "limit": "100"}
    people = admin.call(config, data_dir, "GET", "/admin/people", params=query)
    companies = admin.call(config, data_dir, "GET", "/admin/companies", params=query)
    if as_json:
        output.print_json({"people": people, "companies": companies})
        return
    if people or not companies:
        output.show_rows([_person(each) for each in people], False, _PERSON, "Nobody is found.")
    if companies:
        rows = [{**each, "company": each["id"], "numbers": ", ".join(each["numbers"])} for each in companies]
        output.show_rows(rows, False, _COMPANY, "")


def explain(
    activity: Annotated[int, typer.Argument(metavar="ID", min=1, help="The id of the activity.")],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show how far one activity has come on each device.

    For each device of the sender and the receiver: confirmed (the device said that it has stored the activity), written
    (to the device's socket), behind (its session has not come to it yet), before (its session began after it: the
    device asked for nothing older, or said that it has it) or away (no session on this node, and not confirmed). The
    text of the activity is never shown.

    Example: run.py explain 1234
    """
    found = admin.call(config, data_dir, "GET", f"/admin/activities/{activity}/timeline")
    if as_json:
        output.print_json(found)
        return
    output.show(found["activity"], False)
    rows = [{"side": side, **each} for side in ("sender", "receiver") for each in found[side]["devices"]]
    for side in ("sender", "receiver"):
        nobody = "" if found[side]["devices"] else f": no device of {_named(found[side])} is known here"
        output.say(f"{side}: {_party(found[side])}{nobody}")
    if rows:
        output.show_rows(rows, False, _DEVICE, "")


def _person(each: dict[str, Any]) -> dict[str, Any]:
    names = (each["first_name"], each["middle_name"], each["last_name"])
    return {
        **each,
        "person": each["id"],
        "name": " ".join(filter(None, names)),
        "numbers": ", ".join(each["numbers"]),
        "companies": ", ".join(f"{company['name']} ({company['id']})" for company in each["companies"]),
    }


def _named(side: dict[str, Any]) -> str:
    return f"{side['party']['type']} {side['party']['id']}"


def _party(side: dict[str, Any]) -> str:
    return f"{_named(side)}{'' if side['in_directory'] else ', who is not in the directory'}"
