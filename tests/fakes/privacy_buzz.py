"""A node with two companies and their members, for the tests of privacy requests; used over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

from protocol.directory import Company, Kind, Member, Object, Person
from protocol.twilio_signature import sign
from server.node.node import Node
from server.runtime.clock import wall_clock_ms
from storage.database import Database
from storage.directory import service_codes
from storage.directory import writes as directory_writes
from storage.directory.writes import ObjectChange
from storage.migrate import migrate
from storage.sqlite.database import SqliteDatabase
from tests.harness.node import Tokens, running_node, settings_for

JANE, BOB, EVE = 456, 7, 99
ACME, OTHER = 123, 124
CODE = "57"
PUBLIC_URL = "https://buzz.example"
TWILIO_TOKEN = "12345"
START_MS = 1_584_211_480_000  # 2020-03-14 18:44:40 UTC, as in the seed
FORM = {
    "first_name": "Julian",
    "last_name": "Salama",
    "email": "admin@privacytollfree.com",
    "state": "DE",
    "requester_type": "Job Applicant",
    "tell_me": "false",
    "delete_me": "false",
    "do_not_sell": "true",
    "send_me": "false",
    "other": "",
}

_OBJECTS: Mapping[Kind, tuple[Object, ...]] = {
    Kind.PERSON: tuple(Person(one, "P", None, str(one), None, ()) for one in (JANE, BOB, EVE)),
    Kind.COMPANY: (Company(ACME, "Acme", None, ()), Company(OTHER, "Other", None, ())),
    Kind.MEMBER: (Member(ACME, JANE), Member(ACME, BOB), Member(OTHER, EVE)),
}


@dataclass
class Clock:
    """The server's wall clock, in milliseconds, which tests set."""

    ms: int = START_MS

    def __call__(self) -> int:
        return self.ms

    def advance(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class WallClock(Clock):
    """The time of the machine, for tests with a browser, which has no other."""

    def __call__(self) -> int:
        return wall_clock_ms()


@dataclass
class Buzz:
    """A running server, and the clients of it."""

    client: ClientSession
    node: Node
    tokens: Tokens
    clock: Clock
    url: str = ""

    @property
    def admin(self) -> dict[str, str]:
        return _bearer(self.tokens.service("admin"))

    def person(self, person_id: int) -> dict[str, str]:
        return _bearer(self.tokens.person(person_id))

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> tuple[int, Any]:
        """Send one request; returns the response as JSON if it is JSON, else as text."""
        async with self.client.request(method, path, headers=headers, **more) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else await response.text()

    async def ask_admin(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request with the admin token, which must succeed."""
        status, answer = await self.ask(method, path, self.admin, **({} if body is None else {"json": body}))
        assert status < 300, (status, answer)
        return answer

    async def service_code(self, code: str = CODE, company_id: int = ACME, name: str = "tes") -> None:
        await self.ask_admin("POST", "/admin/service-codes", {"code": code, "company_id": company_id, "name": name})

    async def endpoint(self, url: str, company_id: int = ACME, **more: Any) -> Any:
        """Create a webhook endpoint; returns the answer with its keys."""
        return await self.ask_admin("POST", "/admin/webhook-endpoints", {"company_id": company_id, "url": url, **more})

    async def submit(self, code: str = CODE, **changes: str) -> str:
        """Send the form as a program would; returns the request's id."""
        status, answer = await self.ask("POST", f"/privacy-requests/{code}", json={**FORM, **changes})
        assert status == 201, answer
        return str(answer["id"])

    async def deliveries(self, **query: str) -> Any:
        status, answer = await self.ask("GET", "/admin/webhook-deliveries", self.admin, params=query)
        assert status == 200, answer
        return answer

    async def settled(self, statuses: tuple[str, ...] = ("delivered", "failed", "cancelled")) -> Any:
        """Return the log of deliveries, when each has one of these statuses."""
        return await self.until(lambda log: all(one["status"] in statuses for one in log))

    async def until(self, ready: Callable[[Any], bool], within: float = 30) -> Any:
        """Return the log of deliveries, when the condition holds."""
        async with asyncio.timeout(within):
            while True:
                log = await self.deliveries(limit="500")
                if ready(log):
                    return log

    def later(self, seconds: float) -> None:
        """Move the clock forward, and wake the worker."""
        self.clock.advance(seconds)
        self.node.privacy.worker.wake()

    def signed(self, path_and_query: str, form: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of Twilio's request."""
        return {"X-Twilio-Signature": sign(TWILIO_TOKEN, PUBLIC_URL + path_and_query, form.items())}

    async def twilio(self, path_and_query: str, form: Mapping[str, str]) -> tuple[int, str]:
        """Send a request as Twilio."""
        return await self.ask("POST", path_and_query, self.signed(path_and_query, form), data=form)

    @asynccontextmanager
    async def live(self, person_id: int) -> AsyncIterator[ClientWebSocketResponse]:
        """Open a person's session and wait for ``welcome``."""
        async with self.client.ws_connect("/apps/buzz/socket", headers=self.person(person_id)) as socket:
            await socket.send_json({"type": "hello"})
            assert (await socket.receive_json(timeout=5))["type"] == "welcome"
            yield socket


async def event(socket: ClientWebSocketResponse) -> tuple[str, Any]:
    """Return the next live event's name and data."""
    while True:
        frame = await socket.receive_json(timeout=5)
        if frame["type"] == "event":
            return frame["name"], frame["data"]


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def make_template(data_dir: Path) -> Path:
    """Create a data directory with the people above and the service code, which is copied for each test."""
    asyncio.run(_fill(data_dir / "buzz.db"))
    return data_dir


async def _fill(path: Path) -> None:
    database = await SqliteDatabase.open(path)
    await migrate(database)
    await fill(database)
    await database.close()


async def fill(database: Database) -> None:
    """Write the people, the companies and the service code into a migrated database."""
    async with database.transaction() as transaction:
        for kind, objects in _OBJECTS.items():
            await directory_writes.write(
                transaction, kind, [ObjectChange(kind, None, each) for each in objects], START_MS
            )
        await service_codes.put(transaction, CODE, ACME, "tes", START_MS)


@asynccontextmanager
async def open_buzz(data_dir: Path, clock: Clock, **settings: Any) -> AsyncIterator[Buzz]:
    """Start a node on a copy of the template."""
    given = {"public_url": PUBLIC_URL, "twilio_auth_token": TWILIO_TOKEN, "privacy_forms_per_minute": 1_000, **settings}
    async with (
        running_node(settings_for(data_dir, **given), clock) as running,
        ClientSession(base_url=running.url) as client,
    ):
        yield Buzz(client, running.node, Tokens(data_dir, clock), clock, running.url)
