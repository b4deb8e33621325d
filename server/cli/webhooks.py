"""`run.py webhooks`: endpoints that receive events, their deliveries, and sources that send events to Buzz."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from server.cli.consent import Yes, agree
from server.cli.errors import CommandError
from server.cli.options import AsJson, Config, DataDir

if TYPE_CHECKING:
    from server.cli.admin import Admin

webhooks = typer.Typer(
    help="Manage webhook endpoints, deliveries and sources.\n\nExample: run.py webhooks deliveries --status failed",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_ENDPOINT_COLUMNS: Final = ("id", "company_id", "url", "format", "enabled", "pending", "failed")
_DELIVERY_COLUMNS: Final = (
    "id",
    "endpoint_id",
    "request_id",
    "event",
    "status",
    "attempts",
    "http_status",
    "next_attempt_at",
    "error",
)
_SOURCE_COLUMNS: Final = ("id", "company_id", "url", "updated_at")
_TEST_SECONDS: Final = 60

_MAX_ID: Final = 10**18 - 1

EndpointId = Annotated[int, typer.Argument(metavar="ENDPOINT", help="The endpoint's id.", min=1, max=_MAX_ID)]
SourceId = Annotated[int, typer.Argument(metavar="SOURCE", help="The source's id.", min=1, max=_MAX_ID)]
Company = Annotated[int, typer.Option(metavar="ID", help="The company.", min=1)]
Overlap = Annotated[
    int, typer.Option(metavar="SECONDS", help="How long the old keys stay valid.", min=0, max=30 * 86_400)
]
SignsBody = Annotated[
    bool, typer.Option("--secret", help="The source also signs the body: ask for its whsec_… secret too.")
]


def register(app: typer.Typer) -> None:
    """Add the group `webhooks`."""
    app.add_typer(webhooks, name="webhooks")


@webhooks.command("endpoints")
def endpoints(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the endpoints, with the number of waiting and failed deliveries.

    Example: run.py webhooks endpoints
    """
    from server.cli.admin import call
    from server.cli.output import show_rows

    rows = call(config, data_dir, "GET", "/admin/webhook-endpoints")
    show_rows(rows, as_json, _ENDPOINT_COLUMNS, "There are no endpoints: run.py webhooks add URL --company ID")


@webhooks.command("add")
def add(
    url: Annotated[str, typer.Argument(help="An https:// URL; in development mode also http:// on this machine.")],
    company: Company,
    json_events: Annotated[bool, typer.Option("--json-events", help="Send JSON instead of multipart forms.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Create an endpoint. Its API key and secret are shown only once.

    Example: run.py webhooks add https://hooks.example.com/buzz --company 123
    """
    from server.cli.admin import call
    from server.cli.output import show

    body = {"company_id": company, "url": url, "format": "json" if json_events else "multipart"}
    show(call(config, data_dir, "POST", "/admin/webhook-endpoints", json=body), as_json)


@webhooks.command("change")
def change(
    endpoint: EndpointId,
    url: Annotated[str | None, typer.Option(metavar="URL", help="The new URL for its events.")] = None,
    json_events: Annotated[
        bool | None, typer.Option("--json-events/--multipart", help="The new format of its events.")
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Change an endpoint's URL or the format of its events. Its keys stay the same.

    Example: run.py webhooks change 3 --url https://hooks.example.com/new
    """
    from server.cli.admin import call
    from server.cli.output import show

    formats = {None: None, True: "json", False: "multipart"}
    body = {name: value for name, value in (("url", url), ("format", formats[json_events])) if value is not None}
    if not body:
        raise CommandError("nothing to change: pass --url, --json-events or --multipart.")
    show(call(config, data_dir, "PATCH", f"/admin/webhook-endpoints/{endpoint}", json=body), as_json)


@webhooks.command("pause")
def pause(
    endpoint: EndpointId,
    resume: Annotated[
        bool, typer.Option("--resume", help="Start sending again, beginning with the events that waited.")
    ] = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Stop sending an endpoint's events and keep them until --resume.

    Example: run.py webhooks pause 3 --resume
    """
    from server.cli.admin import call
    from server.cli.output import show

    show(call(config, data_dir, "PATCH", f"/admin/webhook-endpoints/{endpoint}", json={"enabled": resume}), as_json)


@webhooks.command("rotate")
def rotate(
    endpoint: EndpointId,
    overlap: Overlap = 86_400,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Create new keys for an endpoint (after asking). They are shown only once.

    Example: run.py webhooks rotate 3 --overlap 3600
    """
    from server.cli.admin import call
    from server.cli.output import show

    found = _one(call(config, data_dir, "GET", "/admin/webhook-endpoints"), endpoint, "endpoint")
    agree(f"The keys of {_named(found)} will become invalid {_when(overlap)}: its receiver needs the new keys.", yes)
    body = {"overlap_seconds": overlap}
    show(call(config, data_dir, "POST", f"/admin/webhook-endpoints/{endpoint}/rotate", json=body), as_json)


@webhooks.command("remove")
def remove(endpoint: EndpointId, yes: Yes = False, data_dir: DataDir = None, config: Config = None) -> None:
    """Delete an endpoint and cancel its waiting deliveries. Says what first, and asks.

    Example: run.py webhooks remove 3
    """
    from server.cli.admin import call
    from server.cli.output import say

    found = _one(call(config, data_dir, "GET", "/admin/webhook-endpoints"), endpoint, "endpoint")
    lost = f"{found['pending']} waiting and {found['failed']} failed deliveries with it"
    agree(f"{_named(found)} will be deleted, and {lost}.", yes)
    call(config, data_dir, "DELETE", f"/admin/webhook-endpoints/{endpoint}")
    say(f"removed endpoint {endpoint}")


@webhooks.command("deliveries")
def deliveries(
    endpoint: Annotated[
        int | None, typer.Option(metavar="ID", help="Only the deliveries of this endpoint.", min=1, max=_MAX_ID)
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Only deliveries that are pending, delivered, failed or cancelled.")
    ] = None,
    request: Annotated[
        str | None, typer.Option(metavar="ID", help="Only the deliveries of this privacy request.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Most deliveries to list, newest first.", min=1, max=500)] = 50,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the deliveries, newest first.

    Example: run.py webhooks deliveries --status failed
    """
    from server.cli.admin import call
    from server.cli.output import show_rows

    given = {"endpoint_id": endpoint, "status": status, "request_id": request, "limit": limit}
    query = {name: str(value) for name, value in given.items() if value is not None}
    rows = call(config, data_dir, "GET", "/admin/webhook-deliveries", params=query)
    show_rows(rows, as_json, _DELIVERY_COLUMNS, "There are no such deliveries.")


@webhooks.command("retry")
def retry(
    delivery: Annotated[
        int | None, typer.Argument(metavar="DELIVERY", help="The delivery's id.", min=1, max=_MAX_ID)
    ] = None,
    endpoint: Annotated[
        int | None, typer.Option(metavar="ID", help="Retry all failed deliveries of this endpoint.", min=1, max=_MAX_ID)
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Send a failed delivery again now, or all failed deliveries of an endpoint.

    Example: run.py webhooks retry 17
    Example: run.py webhooks retry --endpoint 3
    """
    from server.cli.admin import call
    from server.cli.output import show

    if (delivery is None) == (endpoint is None):
        raise CommandError("pass a delivery's id, or --endpoint ID to retry all its failed deliveries.")
    if endpoint is not None:
        show(call(config, data_dir, "POST", f"/admin/webhook-endpoints/{endpoint}/retry-failed"), as_json)
    else:
        show(call(config, data_dir, "POST", f"/admin/webhook-deliveries/{delivery}/retry"), as_json)


@webhooks.command("test")
def try_out(endpoint: EndpointId, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Send a test event, marked as such, and print the answer. Ends with status 1 if the receiver did not accept it.

    Example: run.py webhooks test 3
    """
    from server.cli.admin import run
    from server.cli.output import show
    from server.config.settings_sources import load

    async def work(admin: Admin) -> dict[str, Any]:
        return await _tested(admin, endpoint)

    done = run(load(config, data_dir=data_dir), work)
    show(done, as_json)
    if done["status"] != "delivered":
        raise typer.Exit(1)


@webhooks.command("sources")
def sources(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the services that may send events to Buzz, and the URL that each one posts to.

    Example: run.py webhooks sources
    """
    from server.cli.admin import call
    from server.cli.output import show_rows

    rows = call(config, data_dir, "GET", "/admin/webhook-sources")
    show_rows(rows, as_json, _SOURCE_COLUMNS, "There are no sources: run.py webhooks add-source --company ID")


@webhooks.command("add-source")
def add_source(
    company: Company,
    signs_body: SignsBody = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Allow another service to send a company's events. Asks for its keys, or reads them line by line from stdin.

    Example: run.py webhooks add-source --company 123 < api-key.txt
    """
    from server.cli.admin import call
    from server.cli.output import show

    body = {"company_id": company, **_source_keys(signs_body)}
    show(call(config, data_dir, "POST", "/admin/webhook-sources", json=body), as_json)


@webhooks.command("rotate-source")
def rotate_source(
    source: SourceId,
    signs_body: SignsBody = False,
    overlap: Overlap = 86_400,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Store a source's new keys (after asking). Asks for them, or reads them from standard input, one a line.

    Example: run.py webhooks rotate-source 2 --overlap 3600 < new-api-key.txt
    """
    from server.cli.admin import call
    from server.cli.output import show

    found = _one(call(config, data_dir, "GET", "/admin/webhook-sources"), source, "source")
    agree(f"The keys of {_named(found)} will become invalid {_when(overlap)}.", yes)
    body = {"overlap_seconds": overlap, **_source_keys(signs_body)}
    show(call(config, data_dir, "POST", f"/admin/webhook-sources/{source}/rotate", json=body), as_json)


@webhooks.command("remove-source")
def remove_source(
    source: SourceId,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Stop accepting events from a source. Says which first, and asks.

    Example: run.py webhooks remove-source 2
    """
    from server.cli.admin import call
    from server.cli.output import say

    found = _one(call(config, data_dir, "GET", "/admin/webhook-sources"), source, "source")
    agree(f"{_named(found)} will be deleted: Buzz will refuse the events that it sends.", yes)
    call(config, data_dir, "DELETE", f"/admin/webhook-sources/{source}")
    say(f"removed source {source}")


def _one(listed: list[dict[str, Any]], id: int, what: str) -> dict[str, Any]:
    found = next((each for each in listed if each["id"] == id), None)
    if found is None:
        raise CommandError(f"there is no such {what}.")
    return found


def _named(found: dict[str, Any]) -> str:
    return f"{found['url']} ({found['id']}) of company {found['company_id']}"


def _when(overlap: int) -> str:
    return f"in {overlap} seconds" if overlap else "at once"


async def _tested(admin: Admin, endpoint: int) -> dict[str, Any]:
    """Queue a test event and wait for its delivery to end; the receiver has 15 seconds to answer."""
    queued: dict[str, Any] = await admin.call("POST", f"/admin/webhook-endpoints/{endpoint}/test")
    try:
        async with asyncio.timeout(_TEST_SECONDS):
            while queued["status"] == "pending":
                await asyncio.sleep(0.1)
                query = {"request_id": queued["request_id"]}
                (queued,) = await admin.call("GET", "/admin/webhook-deliveries", params=query)
    except TimeoutError:
        return queued
    return queued


def _source_keys(signs_body: bool) -> dict[str, str]:
    keys = {"api_key": _secretly("API key")}
    return {**keys, "secret": _secretly("Secret (whsec_…)")} if signs_body else keys


def _secretly(what: str) -> str:
    """Read a secret from standard input: everybody on the machine could read it on a command line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    from getpass import getpass

    return getpass(f"{what}: ").strip()
