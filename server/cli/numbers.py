"""`run.py numbers`: the pool of Buzz numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from server.cli import admin, output
from server.cli.options import AsJson, Config, DataDir
from server.config import settings_sources
from server.routes import number_admin


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
    """Add numbers to the pool.

    Numbers that are already in it stay unchanged.

    Example: run.py numbers add +12385551629 +12385551630
    """
    wanted = list(_given(new))

    async def work(api: admin.Admin) -> dict[str, int]:
        total = {"added": 0, "known": 0}
        for start in range(0, len(wanted), number_admin.MAX_NUMBERS):
            body = {"numbers": wanted[start : start + number_admin.MAX_NUMBERS]}
            done = await api.call("POST", "/admin/numbers", json=body)
            total = {name: total[name] + done[name] for name in total}
        return total

    output.show(admin.run(settings_sources.load(config, data_dir=data_dir), work), as_json)


def list_numbers(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the numbers of the pool, with their state and owner.

    Example: run.py numbers list --json
    """

    async def work(api: admin.Admin) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["number"] if found else ""
            page = (await api.call("GET", "/admin/numbers", params={"after": after}))["numbers"]
            if not page:
                return found
            found += page

    rows = admin.run(settings_sources.load(config, data_dir=data_dir), work)
    output.show_rows(
        rows, as_json, ("number", "state", "person_id", "until"), "The pool is empty: run.py numbers add NUMBER…"
    )


def _given(new: list[str]) -> Iterable[str]:
    for number in new:
        if number == "-":
            yield from sys.stdin.read().split()
        else:
            yield number
