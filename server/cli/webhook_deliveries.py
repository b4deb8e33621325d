"""`run.py webhooks deliveries`, `delivery`, `retry`, `test`: events that are sent to endpoints."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import typer

from server.cli import admin, output
from server.cli.errors import CommandError, UsageError
from server.cli.options import AsJson, Config, DataDir
from server.cli.webhook_options import MAX_ID, EndpointId
from server.config import settings_sources

_COLUMNS: Final = (
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
_TEST_SECONDS: Final = 60


def deliveries(
    endpoint: Annotated[
        int | None, typer.Option(metavar="ID", help="Only the deliveries of this endpoint.", min=1, max=MAX_ID)
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
    given = {"endpoint_id": endpoint, "status": status, "request_id": request, "limit": limit}
    query = {name: str(value) for name, value in given.items() if value is not None}
    rows = admin.every(config, data_dir, "/admin/webhook-deliveries", query, limit)
    output.show_rows(rows, as_json, _COLUMNS, "There are no such deliveries.")


def delivery(
    delivery: Annotated[int, typer.Argument(metavar="DELIVERY", help="The delivery's id.", min=1, max=MAX_ID)],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show a delivery with what was sent, and each answer.

    The recording, and the end of long texts, are not in the log.

    Example: run.py webhooks delivery 17
    """
    found = admin.call(config, data_dir, "GET", f"/admin/webhook-deliveries/{delivery}")
    if as_json:
        output.print_json(found)
        return
    attempts = found.pop("log")
    output.show(found, as_json=False)
    for attempt in attempts:
        output.say("")
        output.say(f"Attempt {attempt['number']}, {attempt['at']}: {attempt['summary']}")
        output.say(f"  answer  {attempt['answer'] or '–'}")
        output.say(f"  sent    {output.one_line_of_json(attempt['payload'])}")


def retry(
    delivery: Annotated[
        int | None, typer.Argument(metavar="DELIVERY", help="The delivery's id.", min=1, max=MAX_ID)
    ] = None,
    endpoint: Annotated[
        int | None, typer.Option(metavar="ID", help="Retry all failed deliveries of this endpoint.", min=1, max=MAX_ID)
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Send a failed delivery, or all of an endpoint, again now.

    Example: run.py webhooks retry 17
    Example: run.py webhooks retry --endpoint 3
    """
    if (delivery is None) == (endpoint is None):
        raise UsageError("pass a delivery's id, or --endpoint ID to retry all its failed deliveries.")
    if endpoint is not None:
        output.show(admin.call(config, data_dir, "POST", f"/admin/webhook-endpoints/{endpoint}/retry-failed"), as_json)
    else:
        output.show(admin.call(config, data_dir, "POST", f"/admin/webhook-deliveries/{delivery}/retry"), as_json)


def try_out(endpoint: EndpointId, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Send a test event and print the answer.

    The event is marked as a test. Ends with status 1 if the receiver did not accept it.

    Example: run.py webhooks test 3
    """

    async def work(api: admin.Admin) -> dict[str, Any]:
        return await _tested(api, endpoint)

    done = admin.run(settings_sources.load(config, data_dir=data_dir), work)
    output.show(done, as_json)
    if done["status"] == "pending":
        raise CommandError(f"the test event is not delivered after {_TEST_SECONDS} seconds; the server goes on trying")
    if done["status"] != "delivered":
        raise CommandError("the receiver did not accept the test event")


async def _tested(api: admin.Admin, endpoint: int) -> dict[str, Any]:
    """Queue a test event and wait for its delivery to end; the receiver has 15 seconds to answer."""
    queued: dict[str, Any] = await api.call("POST", f"/admin/webhook-endpoints/{endpoint}/test")
    try:
        async with asyncio.timeout(_TEST_SECONDS):
            while queued["status"] == "pending":
                await asyncio.sleep(0.1)
                query = {"request_id": queued["request_id"]}
                (queued,) = await api.call("GET", "/admin/webhook-deliveries", params=query)
    except TimeoutError:
        return queued
    return queued
