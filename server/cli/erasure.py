"""`run.py erase`: erase a person and everything about them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from server.cli import admin, output
from server.cli.consent import Yes, agree
from server.cli.errors import CommandError
from server.cli.options import AsJson, Config, DataDir


def erase(
    person: Annotated[int, typer.Option(metavar="ID", help="The person to erase.")],
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person, and for everybody the text that they wrote.

    Their directory entry, keys, devices, blocked calls and privacy data are erased. What they wrote loses its text in
    the histories of those they wrote to as well: a message is stored once for both sides. It keeps id and time, so that
    nobody's history has gaps. What others wrote to them stays. Their number is not given out again for 60 days, and
    their tokens become invalid. Only a backup can undo this. The command first says who and what will be erased, and
    asks. You can repeat it, also after a crash.

    Example: run.py erase --person 456
    """
    there = admin.call(config, data_dir, "POST", "/admin/erasures", json={"person_id": person, "dry_run": True})
    if not _anything(there):
        raise CommandError(f"there is no person {person}, and nothing about them is stored here.")
    agree(_loss(there), yes)
    output.show(admin.call(config, data_dir, "POST", "/admin/erasures", json={"person_id": person}), as_json, "erased")


def _anything(there: dict[str, Any]) -> bool:
    return any(value for name, value in there.items() if name not in ("person_id", "dry_run"))


def _loss(there: dict[str, Any]) -> str:
    who = (
        f"{there['name']} (person {there['person_id']})"
        if there["in_directory"]
        else (f"Person {there['person_id']}, who is not in the directory,")
    )
    counted = {
        "device": there["devices"],
        "public key": there["public_keys"],
        "number": there["numbers"],
        "privacy request": there["privacy_requests"],
    }
    parts = ", ".join(_many(count, what) for what, count in counted.items())
    return (
        f"{who} will be erased permanently: the directory entry, contacts, calls, {parts}. Everything they wrote loses"
        f" its text, for the other side too ({_many(there['conversations'], 'conversation')}); what others wrote stays,"
        " and so do the copies that devices have."
    )


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
