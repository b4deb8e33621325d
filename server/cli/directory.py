"""`run.py import`: import the directory from a file or standard input."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Final

import typer

from server.cli import admin, output, progress
from server.cli.consent import Yes, agree, can_ask
from server.cli.errors import CommandError
from server.cli.options import AsJson, Config, DataDir
from server.config import settings_sources

_CHUNK_BYTES: Final = 256 * 1024


def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An NDJSON file, one object a line; - reads standard input.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and say what would change, but change nothing.")
    ] = False,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Import the directory from a file: all of it, or nothing.

    It has people, companies, members, contacts, trust, numbers and service codes. The whole input is checked first, and
    every error is named with its line. Importing the same file again changes nothing. Before the import removes
    anything, the command says how much and asks. If the data directory exists and has no database yet, the command
    creates it; with --dry-run it does not.

    Example: run.py import directory.ndjson --dry-run
    """

    def send(**query: str) -> dict[str, Any]:
        with _opened(file) as (stream, size), progress.bytes_read(size) as advance:

            async def work(api: admin.Admin) -> dict[str, Any]:
                headers = {"Content-Type": "application/x-ndjson"}
                body = _chunks(stream, advance)
                path = "/admin/directory/import"
                done: dict[str, Any] = await api.call("POST", path, data=body, headers=headers, params=query)
                return done

            return admin.run(settings_sources.load(config, data_dir=data_dir), work, create=not dry_run)

    if dry_run:
        done = send(dry_run="true")
    elif yes or _agreed(file, send):
        done = send()
    else:
        done = send(deletions="refuse")
    if as_json:
        output.print_json(done)
    else:
        output.say(_sentence(done))


def _agreed(file: Path, send: Callable[..., dict[str, Any]]) -> bool:
    """Ask about what the import removes. Return False if nobody can be asked: then the server must refuse removals."""
    if str(file) == "-" or not can_ask():
        return False
    removed = send(dry_run="true")["removed"]
    if not removed:
        return False
    agree(f"The import removes {', '.join(f'{count} {kind}' for kind, count in removed.items())}.", yes=False)
    return True


async def _chunks(stream: IO[bytes], advance: Callable[[int], None]) -> AsyncIterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        advance(len(chunk))
        yield chunk


@contextmanager
def _opened(file: Path) -> Iterator[tuple[IO[bytes], int | None]]:
    if str(file) == "-":
        yield sys.stdin.buffer, None
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}.") from error
    with stream:
        yield stream, file.stat().st_size


def _sentence(done: dict[str, Any]) -> str:
    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "nothing"

    verb = "would change" if done["dry_run"] else "changed"
    put, removed = counted(done["put"]), counted(done["removed"])
    said = f"{done['lines']} lines read, {done['changed']} objects {verb}. Added or updated: {put}. Removed: {removed}."
    return f"{said}{_warnings(done['warnings'], done['warned'])}"


def _warnings(count: int, lines: list[str]) -> str:
    if not count:
        return ""
    return f" Contacts' numbers left out because they cannot be called: {count} ({'; '.join(lines)})."
