"""`run.py service-codes`: the codes by which consumers choose a company."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from server.cli import admin, output
from server.cli.consent import Yes, agree
from server.cli.errors import CommandError
from server.cli.options import AsJson, Config, DataDir

_COLUMNS: Final = ("code", "name", "company_id", "updated_at")


def add(
    code: Annotated[str, typer.Argument(help="The code that consumers enter; only a code of digits can be dialled.")],
    company: Annotated[int, typer.Option(metavar="ID", help="The company that the code belongs to.")],
    name: Annotated[str, typer.Option(help="The name that consumers see on the form.")],
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Create a service code, or change its company or name.

    Asks before it changes the company.

    Example: run.py service-codes add 57 --company 123 --name "Acme"
    """
    found = _code(admin.every(config, data_dir, "/admin/service-codes"), code)
    if found is not None and found["company_id"] != company:
        whose = f"company {found['company_id']} ({found['name']})"
        agree(f"Code {code} will be taken from {whose} and given to company {company}.", yes)
    body = {"code": code, "company_id": company, "name": name}
    output.show(admin.call(config, data_dir, "POST", "/admin/service-codes", json=body), as_json)


def list_codes(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the service codes.

    Example: run.py service-codes list
    """
    rows = admin.every(config, data_dir, "/admin/service-codes")
    output.show_rows(rows, as_json, _COLUMNS, "There are no service codes: run.py service-codes add CODE …")


def remove(code: str, yes: Yes = False, data_dir: DataDir = None, config: Config = None) -> None:
    """Stop accepting requests for a service code.

    Asks first. The requests that arrived stay.

    Example: run.py service-codes remove 57
    """
    found = _code(admin.every(config, data_dir, "/admin/service-codes"), code)
    if found is None:
        raise CommandError("there is no such service code.")
    agree(f"Code {code} ({found['name']}) of company {found['company_id']} will accept no more requests.", yes)
    admin.call(config, data_dir, "DELETE", f"/admin/service-codes/{quote(code, safe='')}")
    output.say(f"removed code {code}")


def _code(listed: list[dict[str, Any]], code: str) -> dict[str, Any] | None:
    return next((each for each in listed if each["code"] == code), None)
