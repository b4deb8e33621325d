"""`run.py export`: save everything that is stored about one person."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from server.cli import admin, output, progress
from server.cli.errors import CommandError
from server.cli.options import AsJson, Config, DataDir
from server.config import settings_sources

Write = Callable[[bytes], object]


def export(
    person: Annotated[int, typer.Option(metavar="ID", help="The person whose data to export.", min=1, max=10**18 - 1)],
    to: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="A new file; without it, standard output.")
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Export what is stored about a person, as JSON lines.

    It has what `run.py erase` would take away, one object a line; `kind` says what each is. Encryption keys are public
    keys, and tokens are not stored. The last line says how many lines there are.

    Example: run.py export --person 456 --output person-456.ndjson
    """
    del as_json  # an export is always JSON
    if to is not None and to.exists():
        raise CommandError(f"{to} exists already: name a new file.")
    with _target(to) as write, progress.bytes_read(None) as advance:

        async def work(api: admin.Admin) -> int:
            return await _copy(api, person, write, advance)

        lines = admin.run(settings_sources.load(config, data_dir=data_dir), work)
        if not lines:
            raise CommandError(f"there is no person {person}, and nothing about them is stored here.")
    if to is not None:
        output.tell(f"{lines} lines about person {person} are in {to}")


async def _copy(api: admin.Admin, person: int, write: Write, advance: Callable[[int], None]) -> int:
    """Write the lines as they arrive; returns how many. Raises CommandError if the end is missing."""
    last: dict[str, Any] = {}
    async with api.open("GET", f"/admin/people/{person}/export") as answer:
        async for line in answer.content:
            advance(len(line))
            last = {} if not line.endswith(b"\n") else last
            if line.startswith(b'{"kind":"end"'):
                last = json.loads(line)
                if not last["lines"]:
                    return 0
            write(line)
    if not last:
        raise CommandError("the server stopped before the end of the export: try again.")
    return int(last["lines"])


@contextmanager
def _target(path: Path | None) -> Iterator[Write]:
    """Yield what writes: to standard output, or to a new file that only its owner may read. It stays if all is well."""
    if path is None:
        yield _print
        return
    part = path.with_name(f".{path.name}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        try:
            yield file.write
        except BaseException:
            part.unlink()
            raise
    part.rename(path)


def _print(line: bytes) -> None:
    # Names and messages may have characters that control a terminal: JSON has escapes for them.
    output.print_json_line(json.loads(line))
