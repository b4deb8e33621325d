"""`run.py webhooks sources`, `add-source`, `rotate-source`, `remove-source`: services that send events to Buzz."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from server.cli import admin, output
from server.cli.consent import Yes, agree
from server.cli.options import AsJson, Config, DataDir
from server.cli.webhook_options import Company, Overlap, SourceId, find, named, when

_COLUMNS: Final = ("id", "company_id", "url", "updated_at")

SignsBody = Annotated[
    bool, typer.Option("--secret", help="The source also signs the body: ask for its whsec_… secret too.")
]


def sources(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the services that may send events to Buzz.

    With the URL that each one posts to.

    Example: run.py webhooks sources
    """
    rows = admin.every(config, data_dir, "/admin/webhook-sources")
    output.show_rows(rows, as_json, _COLUMNS, "There are no sources: run.py webhooks add-source --company ID")


def add(
    company: Company,
    signs_body: SignsBody = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Allow another service to send a company's events.

    Asks for its keys, or reads them from standard input, one a line.

    Example: run.py webhooks add-source --company 123 < api-key.txt
    """
    body = {"company_id": company, **_source_keys(signs_body)}
    output.show(admin.call(config, data_dir, "POST", "/admin/webhook-sources", json=body), as_json)


def rotate(
    source: SourceId,
    signs_body: SignsBody = False,
    overlap: Overlap = 86_400,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Store a source's new keys.

    Asks first. Then asks for the keys, or reads them from standard input, one a line.

    Example: run.py webhooks rotate-source 2 --overlap 3600 < new-api-key.txt
    """
    found = find(admin.every(config, data_dir, "/admin/webhook-sources"), source, "source")
    agree(f"The keys of {named(found)} will become invalid {when(overlap)}.", yes)
    body = {"overlap_seconds": overlap, **_source_keys(signs_body)}
    output.show(admin.call(config, data_dir, "POST", f"/admin/webhook-sources/{source}/rotate", json=body), as_json)


def remove(
    source: SourceId,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Stop accepting events from a source.

    Says which one first, and asks.

    Example: run.py webhooks remove-source 2
    """
    found = find(admin.every(config, data_dir, "/admin/webhook-sources"), source, "source")
    agree(f"{named(found)} will be deleted: Buzz will refuse the events that it sends.", yes)
    admin.call(config, data_dir, "DELETE", f"/admin/webhook-sources/{source}")
    output.say(f"removed source {source}")


def _source_keys(signs_body: bool) -> dict[str, str]:
    keys = {"api_key": _secretly("API key")}
    return {**keys, "secret": _secretly("Secret (whsec_…)")} if signs_body else keys


def _secretly(what: str) -> str:
    """Read a secret from standard input: everybody on the machine could read it on a command line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    from getpass import getpass

    return getpass(f"{what}: ").strip()
