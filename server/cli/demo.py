"""`run.py demo`: fill a running development server with twenty people and a day's traffic, to show it to somebody."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Annotated, Any, Final

import typer

from server.auth import signing_keys, tokens
from server.cli import admin, demo_traffic, output, progress
from server.cli.errors import CommandError
from server.cli.options import Config, DataDir
from server.config import settings, settings_sources
from server.node import demo_crowd
from server.runtime import clock

_TOKEN_SECONDS: Final = 6 * 3_600
_FORMS: Final[tuple[dict[str, str], ...]] = (
    {"first_name": "Alex", "last_name": "Rivera", "email": "alex@example.com", "state": "CA", "delete_me": "true"},
    {"first_name": "Sam", "last_name": "Petrov", "email": "sam@example.com", "state": "CO", "send_me": "true"},
    {"first_name": "Jo", "last_name": "Lind", "email": "jo@example.com", "state": "VA", "do_not_sell": "true"},
)
_CALLERS: Final = ("2025550161", "2025550162", "9876543210", "2025550123", "2025550163")
"""Who calls Jane: two that she trusts, and three that nobody knows."""


def demo(
    messages: Annotated[int, typer.Option(min=1, max=100_000, help="How many messages are sent.")] = 600,
    minutes: Annotated[
        float, typer.Option(min=0, max=1_440, help="Spread them over this time; 0: as fast as they are stored.")
    ] = 0,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Fill a running development server with twenty people.

    Adds 20 people and two companies to the directory, and has them write, react, mark messages as read and call each
    other, over sockets as every client does. Also calls Jane, and sends Acme three privacy requests. The messages are
    not encrypted. It removes nothing, and may be run again for more. It refuses a production server.

    Example: run.py demo --messages 600 --minutes 5
    """
    chosen = settings_sources.load(config, data_dir=data_dir)
    server = admin.running_node(chosen)
    if not _made_for_development(chosen):
        raise CommandError("this is for development servers only: start one with `run.py serve --dev`.")
    if server.url is None:
        raise CommandError("the server does not listen yet: try again in a moment.")
    url, began, sent = admin.reachable(server.url), time.monotonic(), demo_traffic.Sent()
    admin.run(chosen, _add_people)
    with progress.counted("sending", messages) as advance:
        sent.told = advance
        asyncio.run(demo_traffic.play(url, _tokens(chosen), messages, 60 * minutes, sent, random.Random()))
    admin.run(chosen, lambda api: _call_and_ask(api, chosen))
    seconds = time.monotonic() - began
    output.say(
        f"{len(demo_crowd.CROWD)} people sent {sent.messages} messages, {sent.reactions} reactions, "
        f"{sent.read_marks} read marks and {sent.calls} calls in {seconds:.0f} s. Sign in as one of them at {url}/"
    )


def _made_for_development(chosen: settings.Settings) -> bool:
    """Return whether the signing key was made in development mode, which a production server refuses."""
    path = chosen.signing_key_path
    return path.exists() and signing_keys.load_or_create(path, development=chosen.development).development


async def _add_people(api: admin.Admin) -> None:
    for path, body in demo_crowd.objects():
        await api.call("PUT", f"/admin/directory/{path}", json=body)


def _tokens(chosen: settings.Settings) -> dict[int, str]:
    ring, now = signing_keys.load_or_create(chosen.signing_key_path, development=True), clock.wall_clock_ms()
    return {person: tokens.mint_person(ring, person, _TOKEN_SECONDS, now) for person in demo_crowd.CROWD}


async def _call_and_ask(api: admin.Admin, chosen: settings.Settings) -> None:
    """Call Jane as Twilio would, and send privacy requests as consumers would."""
    ring = signing_keys.load_or_create(chosen.signing_key_path, development=True)
    token = tokens.mint_service(ring, "demo", "lookup", _TOKEN_SECONDS, clock.wall_clock_ms())
    headers = {"Authorization": f"Bearer {token}"}
    for caller in _CALLERS:
        query: dict[str, Any] = {"number_code": "1", "number": "2385551629", "inbound_code": "1", "inbound": caller}
        await api.call("GET", "/apps/buzz/trust-lookup", params=query, headers=headers)
    for form in _FORMS:
        await api.call("POST", "/privacy-requests/57", json={**form, "submission": f"demo {form['last_name']}"})
