"""`run.py token`: create access tokens with the key in the data directory, explain them, and revoke them in storage."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final

import typer

from server.auth import signing_keys, tokens
from server.cli import admin, output
from server.cli.consent import Yes, agree
from server.cli.errors import CommandError, UsageError
from server.cli.options import AsJson, Config, DataDir
from server.config import settings_sources
from server.runtime import clock

MAX_CHECKED_CHARACTERS: Final = 65_536


def create(
    person: Annotated[int | None, typer.Option(metavar="ID", help="Create a token for a person's devices.")] = None,
    service: Annotated[
        str | None, typer.Option(metavar="NAME", help="Create a token for a program; requires --scope.")
    ] = None,
    scope: Annotated[str | None, typer.Option(metavar="lookup|admin|metrics", help="What the program may do.")] = None,
    ttl: Annotated[int, typer.Option(metavar="SECONDS", help="How long the token is valid.")] = 30 * 86_400,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Create a token and print it.

    Nothing else is printed on standard output. Needs the signing key but no database.

    Example: run.py token create --person 456 --ttl 86400
    """
    settings = settings_sources.load(config, data_dir=data_dir)
    if (person is None) == (service is None) or (service is None) != (scope is None):
        raise UsageError("pass either --person ID, or --service NAME with --scope lookup, admin or metrics")
    new = not settings.signing_key_path.exists()
    ring = signing_keys.load_or_create(settings.signing_key_path, development=settings.development)
    now = clock.wall_clock_ms()
    try:
        if person is not None:
            token = tokens.mint_person(ring, person, ttl, now)
        else:
            token = tokens.mint_service(ring, str(service), str(scope), ttl, now)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if new:
        key = settings.signing_key_path
        output.tell(f"made a new signing key, {key}: a server with another key refuses its tokens")
    output.say(token)


def check(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="The whole token; -: read it from standard input.")],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Explain whether a token is accepted, claim by claim.

    Checks the key, the signature, every claim that Buzz uses, revocations and the directory. Exits with 1 if the token
    is refused. Nothing is stored, counted or logged. Other users of the machine may see an argument: with - the token
    is read from standard input.

    Examples: run.py token check "$BUZZ_TOKEN" · run.py token check - < token.txt
    """
    text = (sys.stdin.read(MAX_CHECKED_CHARACTERS) if token == "-" else token[:MAX_CHECKED_CHARACTERS]).strip()
    if not text:
        raise UsageError("there is no token: pass it as the argument, or on standard input with -")
    found = admin.call(config, data_dir, "POST", "/admin/tokens/check", json={"token": text})
    if as_json:
        output.print_json(found)
    else:
        output.show_rows(found["checks"], False, ("check", "result", "value", "explanation"), "")
        output.say(_verdict(found))
    if not found["accepted"]:
        raise typer.Exit(1)


def _verdict(found: dict[str, Any]) -> str:
    if found["accepted"]:
        return f"accepted: it is the token of {found['subject']}"
    return f"refused ({found['reason']}); its sender is told: {found['told']}"


def revoke(
    token_or_id: Annotated[str | None, typer.Argument(metavar="[TOKEN_OR_ID]", help="The token, or its id.")] = None,
    person: Annotated[int | None, typer.Option(metavar="ID", help="Revoke every token this person has now.")] = None,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a token, or every token of a person.

    Asks before it revokes every token of a person. Live sessions end within two seconds. A token is checked first, so
    one with a missing character is refused. Of an id, only the form can be checked.

    Examples: run.py token revoke "$BUZZ_TOKEN" · run.py token revoke --person 456
    """
    if (token_or_id is None) == (person is None):
        raise UsageError("pass either a token (or its id), or --person ID")
    if person is not None:
        agree(_every_token_of(admin.call(config, data_dir, "POST", "/admin/erasures", json=_dry_run(person))), yes)
    wanted = {"person_id": person} if person is not None else {"token": token_or_id}
    output.show(admin.call(config, data_dir, "POST", "/admin/revocations", json=wanted), as_json, "revoked")


def _dry_run(person: int) -> dict[str, Any]:
    return {"person_id": person, "dry_run": True}


def _every_token_of(there: dict[str, Any]) -> str:
    person = there["person_id"]
    who = (
        f"{there['name']} (person {person})"
        if there["in_directory"]
        else f"person {person}, who is not in the directory"
    )
    return f"Every token that {who} has now will be revoked, and their sessions end."


def rotate(
    forget_old: Annotated[
        bool, typer.Option("--forget-old", help="Make every existing token invalid, and end the live sessions.")
    ] = False,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Sign new tokens with a new key.

    Tokens signed with the last three keys stay valid until they expire. A running server uses the new key within a
    second. --forget-old asks first.

    Example: run.py token rotate
    """
    path = settings_sources.load(config, data_dir=data_dir).signing_key_path
    if forget_old:
        known = len(signing_keys.load(path).by_header)
        agree(
            f"Every token made until now will be invalid: {known} key{'s' if known > 1 else ''} will be deleted.", yes
        )
    ring = signing_keys.rotate(path, forget_old=forget_old)
    output.say(f"signing with key {ring.signing.kid}; tokens of {len(ring.by_header) - 1} older keys stay valid")
