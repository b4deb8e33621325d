"""What the commands of `run.py webhooks` share: their arguments, and how they name what they change."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from server.cli.errors import CommandError

MAX_ID: Final = 10**18 - 1

EndpointId = Annotated[int, typer.Argument(metavar="ENDPOINT", help="The endpoint's id.", min=1, max=MAX_ID)]
SourceId = Annotated[int, typer.Argument(metavar="SOURCE", help="The source's id.", min=1, max=MAX_ID)]
Company = Annotated[int, typer.Option(metavar="ID", help="The company.", min=1)]
Overlap = Annotated[
    int, typer.Option(metavar="SECONDS", help="How long the old keys stay valid.", min=0, max=30 * 86_400)
]


def find(listed: list[dict[str, Any]], id: int, what: str) -> dict[str, Any]:
    """Return the one with that id. Raises CommandError if there is none."""
    found = next((each for each in listed if each["id"] == id), None)
    if found is None:
        raise CommandError(f"there is no such {what}.")
    return found


def named(found: dict[str, Any]) -> str:
    """Return how a question names it: its URL, id and company."""
    return f"{found['url']} ({found['id']}) of company {found['company_id']}"


def when(overlap: int) -> str:
    """Return when the old keys become invalid."""
    return f"in {overlap} seconds" if overlap else "at once"
