"""The table of the commands: where each is defined, and under which heading `run.py --help` lists it.

To add a command, write its function (the docstring's first line is its summary in the list, at most 58 characters) and
add a line here. ``server/cli/lazy.py`` says how its module imports what it works with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Group:
    """A group of commands, used as `run.py GROUP COMMAND`. ``commands`` maps each name to its function."""

    summary: str
    example: str
    commands: Mapping[str, str]


Entry = str | Group

TOKEN: Final = Group(
    "Create, check and revoke access tokens.",
    "run.py token create --person 456",
    {
        "create": "server.cli.tokens:create",
        "check": "server.cli.tokens:check",
        "revoke": "server.cli.tokens:revoke",
        "rotate": "server.cli.tokens:rotate",
    },
)
NUMBERS: Final = Group(
    "Manage the pool of numbers that are given to people.",
    "run.py numbers add +12385551629",
    {
        "add": "server.cli.numbers:add",
        "list": "server.cli.numbers:list_numbers",
    },
)
SERVICE_CODES: Final = Group(
    "Manage the codes by which consumers choose a company.",
    "run.py service-codes list",
    {
        "add": "server.cli.service_codes:add",
        "list": "server.cli.service_codes:list_codes",
        "remove": "server.cli.service_codes:remove",
    },
)
PRIVACY_REQUESTS: Final = Group(
    "Manage consumers' privacy requests.",
    "run.py privacy-requests list --open",
    {
        "list": "server.cli.privacy_requests:list_requests",
        "show": "server.cli.privacy_requests:show",
        "acknowledge": "server.cli.privacy_requests:acknowledge",
        "extend": "server.cli.privacy_requests:extend",
        "complete": "server.cli.privacy_requests:complete",
        "opt-out": "server.cli.privacy_requests:opt_out",
        "recording": "server.cli.privacy_requests:recording",
        "erase": "server.cli.privacy_requests:erase",
        "purge": "server.cli.privacy_requests:purge",
    },
)
WEBHOOKS: Final = Group(
    "Manage webhook endpoints, deliveries and sources.",
    "run.py webhooks deliveries --status failed",
    {
        "endpoints": "server.cli.webhook_endpoints:endpoints",
        "add": "server.cli.webhook_endpoints:add",
        "change": "server.cli.webhook_endpoints:change",
        "pause": "server.cli.webhook_endpoints:pause",
        "rotate": "server.cli.webhook_endpoints:rotate",
        "remove": "server.cli.webhook_endpoints:remove",
        "deliveries": "server.cli.webhook_deliveries:deliveries",
        "delivery": "server.cli.webhook_deliveries:delivery",
        "retry": "server.cli.webhook_deliveries:retry",
        "test": "server.cli.webhook_deliveries:try_out",
        "sources": "server.cli.webhook_sources:sources",
        "add-source": "server.cli.webhook_sources:add",
        "rotate-source": "server.cli.webhook_sources:rotate",
        "remove-source": "server.cli.webhook_sources:remove",
    },
)
PUSH: Final = Group(
    "See where devices can be woken, and test it.",
    "run.py push list",
    {
        "list": "server.cli.push:list_registrations",
        "test": "server.cli.push:try_out",
    },
)

HEADINGS: Final[Mapping[str, Mapping[str, Entry]]] = {
    "The server": {
        "serve": "server.cli.serve:serve",
        "doctor": "server.cli.doctor:doctor",
        "stats": "server.cli.watching:stats",
        "explain": "server.cli.looking:explain",
        "sessions": "server.cli.watching:sessions",
        "nodes": "server.cli.watching:nodes",
        "log-level": "server.cli.watching:log_level",
    },
    "Accounts": {
        "token": TOKEN,
        "export": "server.cli.export:export",
        "erase": "server.cli.erasure:erase",
        "push": PUSH,
    },
    "The directory and numbers": {
        "find": "server.cli.looking:find",
        "import": "server.cli.directory:import_file",
        "numbers": NUMBERS,
    },
    "Privacy requests and webhooks": {
        "service-codes": SERVICE_CODES,
        "privacy-requests": PRIVACY_REQUESTS,
        "webhooks": WEBHOOKS,
    },
    "The database": {
        "migrate": "server.cli.database:migrate",
        "backup": "server.cli.database:backup",
        "restore": "server.cli.database:restore",
        "new-epoch": "server.cli.database:new_epoch",
        "promote": "server.cli.promote:promote",
    },
    "Trying Buzz out": {
        "chat": "server.cli.chat:chat",
        "listen": "server.cli.chat:listen",
        "demo": "server.cli.demo:demo",
    },
}
