"""`run.py webhooks endpoints`, `add`, `change`, `pause`, `rotate`, `remove`: the receivers of events."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from server.cli import admin, output
from server.cli.consent import Yes, agree
from server.cli.errors import UsageError
from server.cli.options import AsJson, Config, DataDir
from server.cli.webhook_options import Company, EndpointId, Overlap, named, when

_COLUMNS: Final = ("id", "company_id", "url", "format", "recording", "enabled", "pending", "failed")


def endpoints(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the endpoints.

    With the number of waiting and failed deliveries of each.

    Example: run.py webhooks endpoints
    """
    rows = admin.every(config, data_dir, "/admin/webhook-endpoints")
    output.show_rows(rows, as_json, _COLUMNS, "There are no endpoints: run.py webhooks add URL --company ID")


def add(
    url: Annotated[str, typer.Argument(help="An https:// URL; in development mode also http:// on this machine.")],
    company: Company,
    json_events: Annotated[bool, typer.Option("--json-events", help="Send JSON instead of multipart forms.")] = False,
    recording_link: Annotated[
        bool, typer.Option("--recording-link", help="Send a link to each recording instead of its bytes.")
    ] = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Create an endpoint, and show its keys once.

    Its API key and secret are not shown again.

    Example: run.py webhooks add https://hooks.example.com/buzz --company 123
    """
    body = {
        "company_id": company,
        "url": url,
        "format": "json" if json_events else "multipart",
        "recording": "link" if recording_link else "inline",
    }
    output.show(admin.call(config, data_dir, "POST", "/admin/webhook-endpoints", json=body), as_json)


def change(
    endpoint: EndpointId,
    url: Annotated[str | None, typer.Option(metavar="URL", help="The new URL for its events.")] = None,
    json_events: Annotated[
        bool | None, typer.Option("--json-events/--multipart", help="The new format of its events.")
    ] = None,
    recording_link: Annotated[
        bool | None,
        typer.Option("--recording-link/--recording-inline", help="Send a link to each recording, or its bytes."),
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Change an endpoint's URL or the form of its events.

    Its keys stay the same.

    Example: run.py webhooks change 3 --url https://hooks.example.com/new
    """
    formats = {None: None, True: "json", False: "multipart"}
    recordings = {None: None, True: "link", False: "inline"}
    given = {"url": url, "format": formats[json_events], "recording": recordings[recording_link]}
    body = {name: value for name, value in given.items() if value is not None}
    if not body:
        raise UsageError(
            "nothing to change: pass --url, --json-events, --multipart, --recording-link or --recording-inline."
        )
    output.show(admin.call(config, data_dir, "PATCH", f"/admin/webhook-endpoints/{endpoint}", json=body), as_json)


def pause(
    endpoint: EndpointId,
    resume: Annotated[
        bool, typer.Option("--resume", help="Start sending again, beginning with the events that waited.")
    ] = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Stop sending an endpoint's events, until --resume.

    The events are kept.

    Example: run.py webhooks pause 3 --resume
    """
    output.show(
        admin.call(config, data_dir, "PATCH", f"/admin/webhook-endpoints/{endpoint}", json={"enabled": resume}), as_json
    )


def rotate(
    endpoint: EndpointId,
    overlap: Overlap = 86_400,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Create new keys for an endpoint, and show them once.

    Asks first.

    Example: run.py webhooks rotate 3 --overlap 3600
    """
    found = admin.call(config, data_dir, "GET", f"/admin/webhook-endpoints/{endpoint}")
    agree(f"The keys of {named(found)} will become invalid {when(overlap)}: its receiver needs the new keys.", yes)
    body = {"overlap_seconds": overlap}
    output.show(admin.call(config, data_dir, "POST", f"/admin/webhook-endpoints/{endpoint}/rotate", json=body), as_json)


def remove(endpoint: EndpointId, yes: Yes = False, data_dir: DataDir = None, config: Config = None) -> None:
    """Delete an endpoint and its waiting deliveries.

    Says what will be deleted first, and asks.

    Example: run.py webhooks remove 3
    """
    found = admin.call(config, data_dir, "GET", f"/admin/webhook-endpoints/{endpoint}")
    lost = f"{found['pending']} waiting and {found['failed']} failed deliveries with it"
    agree(f"{named(found)} will be deleted, and {lost}.", yes)
    admin.call(config, data_dir, "DELETE", f"/admin/webhook-endpoints/{endpoint}")
    output.say(f"removed endpoint {endpoint}")
