"""`run.py privacy-requests`: consumers' requests to companies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from yarl import URL

from server.cli import admin, output
from server.cli.consent import Yes, agree
from server.cli.options import AsJson, Config, DataDir
from server.config import settings_sources

_STATE: Final = ("acknowledged", "extended", "completed")
_FIELDS: Final = ("id", "company_id", "type", "deadline", "opt_out_due", *_STATE, "updated_at", "erased_at")
_COLUMNS: Final = ("id", "company_id", "type", "deadline", "state")

RequestId = Annotated[str, typer.Argument(metavar="ID", help="The request's id.")]


def list_requests(
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only requests changed since then, e.g. 2020-03-14T18:44:40Z.")
    ] = None,
    is_open: Annotated[bool, typer.Option("--open", help="Only requests that are not completed.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the requests of all companies.

    Ordered by the time of their last change.

    Example: run.py privacy-requests list --open
    """

    query = {"limit": "500", **({"since": since} if since else {})}
    listed = admin.every(config, data_dir, "/admin/privacy-requests", query)
    rows = [row for row in listed if not (is_open and row["completed"])]
    if not as_json:
        rows = [{**row, "state": _state(row)} for row in rows]
    output.show_rows(rows, as_json, _COLUMNS, "There are no such requests.")


def show(request_id: RequestId, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show a request with its audit trail.

    Example: run.py privacy-requests show 72236cca-c0ee-4c43-8e10-d90737557a66
    """
    del as_json  # the result is nested, so it is always shown as JSON

    async def work(api: admin.Admin) -> dict[str, Any]:
        return await _with_trail(api, request_id)

    output.print_json(admin.run(settings_sources.load(config, data_dir=data_dir), work))


def acknowledge(
    request_id: RequestId, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Record that the company has confirmed the request.

    Example: run.py privacy-requests acknowledge 72236cca-c0ee-4c43-8e10-d90737557a66
    """
    _change(config, data_dir, request_id, as_json, acknowledged=True)


def extend(request_id: RequestId, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Extend the deadline to 90 days in all.

    Example: run.py privacy-requests extend 72236cca-c0ee-4c43-8e10-d90737557a66
    """
    _change(config, data_dir, request_id, as_json, extended=True)


def complete(
    request_id: RequestId,
    reopen: Annotated[bool, typer.Option("--reopen", help="Undo it: the request was completed by mistake.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Record that the request has been answered.

    Example: run.py privacy-requests complete 72236cca-c0ee-4c43-8e10-d90737557a66
    """
    _change(config, data_dir, request_id, as_json, completed=not reopen)


def opt_out(
    request_id: RequestId,
    asked: Annotated[bool, typer.Option("--yes/--no", help="Whether the voicemail asks to stop the sale of data.")],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Record whether a voicemail asks to stop the sale of data.

    Until you do, it has an opt-out date.

    Example: run.py privacy-requests opt-out 72236cca-c0ee-4c43-8e10-d90737557a66 --no
    """
    _change(config, data_dir, request_id, as_json, do_not_sell=asked)


def erase(
    request_id: RequestId,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Erase the recording and the personal fields.

    Asks first. The request, its outcome and its audit trail stay.

    Example: run.py privacy-requests erase 72236cca-c0ee-4c43-8e10-d90737557a66
    """
    found = admin.call(config, data_dir, "GET", _path(request_id))
    if not found["erased_at"]:
        agree(_personal(found), yes)
    output.show(_short(admin.call(config, data_dir, "POST", f"{_path(request_id)}/erase")), as_json)


def purge(
    months: Annotated[
        int,
        typer.Option(
            metavar="MONTHS", help="Delete requests last changed longer ago than this; 24 or more.", min=24, max=1_200
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many there are, and delete nothing.")] = False,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Delete old completed requests.

    Their recordings and audit trails are deleted too. Says how many there are first, and asks.

    Example: run.py privacy-requests purge --months 36 --dry-run
    """
    if not dry_run:
        due = admin.call(
            config, data_dir, "POST", "/admin/privacy-requests/purge", json={"months": months, "dry_run": True}
        )
        if due["requests"]:
            many = "1 request" if due["requests"] == 1 else f"{due['requests']} requests"
            agree(f"{many} will be deleted permanently, with recordings and audit trails.", yes)
    body = {"months": months, "dry_run": dry_run}
    output.show(admin.call(config, data_dir, "POST", "/admin/privacy-requests/purge", json=body), as_json)


def recording(
    request_id: RequestId,
    file: Annotated[Path, typer.Argument(help="The MP3 file to create; it must not exist yet.")],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Save a voicemail's recording.

    Example: run.py privacy-requests recording 72236cca-c0ee-4c43-8e10-d90737557a66 message.mp3
    """

    async def work(api: admin.Admin) -> bytes:
        async with api.open("GET", f"{_path(request_id)}/recording.mp3") as answer:
            return await answer.read()

    mp3 = admin.run(settings_sources.load(config, data_dir=data_dir), work)
    with file.open("xb") as written:
        written.write(mp3)


def _state(row: dict[str, Any]) -> str:
    """Return the request's state in a few words, and whether it may be spam."""
    spam = ["suspected spam"] if (row["web_form_session"] or {}).get("suspected_spam") else []
    return ", ".join([name for name in _STATE if row[name]] or ["new"]) + "".join(f", {each}" for each in spam)


async def _with_trail(api: admin.Admin, request_id: str) -> dict[str, Any]:
    """Return a request with its audit trail from all its pages."""
    shown: dict[str, Any] = {}
    path: str | None = _path(request_id)
    while path is not None:
        async with api.open("GET", path) as answer:
            page = await answer.json()
            following = answer.links.get("next")
        page["audit"] = shown.get("audit", []) + page["audit"]
        shown = page
        path = None if following is None else URL(following["url"]).path_qs
    return shown


def _change(config: Path | None, data_dir: Path | None, request_id: str, as_json: bool, **state: bool) -> None:

    output.show(_short(admin.call(config, data_dir, "PATCH", _path(request_id), json=state)), as_json)


def _personal(found: dict[str, Any]) -> str:
    form, call_session = found["web_form_session"], found["call_session"]
    who = f"{form['first_name']} {form['last_name']}" if form else "a caller"
    state = "completed" if found["completed"] else "NOT completed"
    more = " and the recording" if call_session else ""
    return (
        f"The personal fields{more} of the request of {who} to company {found['company_id']} ({state}) will be erased."
    )


def _short(request: dict[str, Any]) -> dict[str, Any]:
    return {name: request[name] for name in _FIELDS}


def _path(request_id: str) -> str:
    return f"/admin/privacy-requests/{quote(request_id, safe='')}"
