"""The text that a development server prints when it is ready: the demo people, and commands to paste."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from server.cli.unreachable import this_python
from server.node.demo import DEMO_PEOPLE

if TYPE_CHECKING:
    from server.config.settings import Settings

_TTL_SECONDS: Final = 7 * 86_400
_TEXT: Final = """
Development mode: numbers are fictional.

  the web app      {base}/ in two windows: choose another demo person in each
  other pages      {base}/docs (the documentation)  ·  {base}/admin (for operators; token below)

Or paste each of these commands into its own terminal:

  chat             {run} chat --to person:{bob}{url} --token $({run} token create --person {alice}{data})
                   {run} chat --to person:{alice}{url} --token $({run} token create --person {bob}{data})
  watch frames     {run} listen{url} --token $({run} token create --person {alice}{data})
  an HTTP request  curl {base}/apps/buzz/heartbeat \\
                     -H "Authorization: Bearer $({run} token create --person {alice}{data})"
  more people      {run} demo{data}

Tokens that are valid for a week (`{run} token create` makes more):
{tokens}
Ctrl-C stops the server; a second Ctrl-C stops it at once."""


def guide(settings: Settings, url: str) -> str:
    """Return the text for a server at ``url``, with new tokens signed with the key in the data directory."""
    from server.auth.signing_keys import load_or_create
    from server.auth.tokens import mint_person, mint_service
    from server.runtime.clock import wall_clock_ms

    ring = load_or_create(settings.signing_key_path, development=True)
    now = wall_clock_ms()
    tokens = [(f"{name} ({id})", mint_person(ring, id, _TTL_SECONDS, now)) for id, name in DEMO_PEOPLE.items()]
    tokens.append(("an operator", mint_service(ring, "demo", "admin", _TTL_SECONDS, now)))
    alice, bob, *_ = DEMO_PEOPLE
    return _TEXT.format(
        run=f"{this_python()} run.py",
        base=url,
        url="" if url == "http://127.0.0.1:8080" else f" --url {url}",
        data="" if settings.data_dir == Path("var") else f" --data-dir {settings.data_dir}",
        alice=alice,
        bob=bob,
        tokens="".join(f"  {who}\n    {token}\n" for who, token in tokens),
    )
