"""`run.py numbers`: the pool of Buzz numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli.options import AsJson, Config, DataDir

if TYPE_CHECKING:
    from server.cli.admin import Admin

numbers = typer.Typer(
    help="Manage the pool of numbers that are given to people.\n\nExample: run.py numbers add +12385551629",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add the group `numbers`."""
    app.add_typer(numbers, name="numbers")


@numbers.command("add")
def add(
    new: Annotated[
        list[str],
        typer.Argument(
            metavar="NUMBER…", help="A number in E.164, such as +12385551629; - reads numbers from standard input."
        ),
    ],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Add numbers to the pool. Numbers that are already in it stay unchanged.

    Example: run.py numbers add +12385551629 +12385551630
    """
    from server.cli.admin import run
    from server.cli.output import show
    from server.config.settings_sources import load
    from server.routes.number_admin import MAX_NUMBERS

    wanted = list(_given(new))

    async def work(admin: Admin) -> dict[str, int]:
        total = {"added": 0, "known": 0}
        for start in range(0, len(wanted), MAX_NUMBERS):
            body = {"numbers": wanted[start : start + MAX_NUMBERS]}
            done = await admin.call("POST", "/admin/numbers", json=body)
            total = {name: total[name] + done[name] for name in total}
        return total

    show(run(load(config, data_dir=data_dir), work), as_json)


@numbers.command("list")
def list_numbers(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the numbers of the pool, with their state and owner.

    Example: run.py numbers list --json
    """
    from server.cli.admin import run
    from server.cli.output import show_rows
    from server.config.settings_sources import load

    async def work(admin: Admin) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["number"] if found else ""
            page = (await admin.call("GET", "/admin/numbers", params={"after": after}))["numbers"]
            if not page:
                return found
            found += page

    rows = run(load(config, data_dir=data_dir), work)
    show_rows(rows, as_json, ("number", "state", "person_id", "until"), "The pool is empty: run.py numbers add NUMBER…")


def _given(new: list[str]) -> Iterable[str]:
    for number in new:
        if number == "-":
            yield from sys.stdin.read().split()
        else:
            yield number
