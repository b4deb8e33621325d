"""One node with a small directory, asked over HTTP and listened to over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

from protocol.directory import Company, Contact, Kind, Member, Object, Person, TrustedCompany
from protocol.twilio_signature import sign
from server.node.node import Node
from storage.database import Database
from storage.directory import writes as directory_writes
from storage.directory.writes import ObjectChange
from storage.migrate import migrate
from storage.sqlite.database import SqliteDatabase
from storage.telephony import numbers
from storage.telephony.numbers import ImportedNumber
from tests.harness.node import Tokens, running_node, settings_for
from tests.harness.peer import WAIT_SECONDS
from tests.harness.people import copy_directory
from tests.harness.watch import Watch, watched

JANE, BOB, ANN, ACME = 456, 7, 8, 123
JANES_NUMBER = "+12385551629"
BOBS_PHONE, ACMES_PHONE, COUSINS_PHONE, STRANGER = "+12025550101", "+18005550100", "+12025550123", "+19876543210"
PUBLIC_URL = "https://buzz.example"
TWILIO_TOKEN = "12345"
IMPORTED_AT_MS = 1_719_000_000_000
LOOKUP = {"number_code": "1", "number": "2385551629", "inbound_code": "1", "inbound": "9876543210"}

OBJECTS: Mapping[Kind, tuple[Object, ...]] = {
    Kind.PERSON: (
        Person(JANE, "Jane", "A.", "Smith", None, ()),
        Person(BOB, "Bob", None, "Ray", "https://example.org/bob.png", (BOBS_PHONE,)),
        Person(ANN, "Ann", None, None, None, ()),
    ),
    Kind.COMPANY: (Company(ACME, "Acme", None, (ACMES_PHONE,)),),
    Kind.MEMBER: (Member(ACME, JANE), Member(ACME, BOB)),
    Kind.CONTACT: (Contact(9, JANE, "Cousin", None, "Vi", None, True, (COUSINS_PHONE,)),),
    Kind.TRUSTED_COMPANY: (TrustedCompany(JANE, ACME),),
}


@dataclass
class Clock:
    """The server's wall clock, in milliseconds."""

    ms: int = 1_720_000_000_000

    def __call__(self) -> int:
        return self.ms


@dataclass
class Buzz:
    """A running server, and the ways in."""

    client: ClientSession
    tokens: Tokens
    data_dir: Path
    node: Node

    @property
    def service(self) -> dict[str, str]:
        """The headers of the glue code's requests."""
        return bearer(self.tokens.service("lookup"))

    def person(self, person_id: int) -> dict[str, str]:
        """The headers of a person's requests."""
        return bearer(self.tokens.person(person_id, 7 * 86_400))

    def signed(self, path_and_query: str, form: Mapping[str, str] | None = None) -> dict[str, str]:
        """The headers of Twilio's request."""
        signature = sign(TWILIO_TOKEN, PUBLIC_URL + path_and_query, (form or {}).items())
        return {"X-Twilio-Signature": signature}

    async def get(self, path: str, headers: Mapping[str, str], **parameters: str) -> tuple[int, Any]:
        async with self.client.get(path, params=parameters, headers=headers) as response:
            return response.status, await response.json()

    async def put(self, path: str, headers: Mapping[str, str], body: object) -> tuple[int, Any]:
        async with self.client.put(path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def trust(self, **changes: str) -> Any:
        """A trust look-up with the seed's parameters, or some of them otherwise."""
        status, answer = await self.get("/apps/buzz/trust-lookup", self.service, **{**LOOKUP, **changes})
        assert status == 200, answer
        return answer

    async def blocked(self, person_id: int = JANE, at_least: int = 0) -> Any:
        """The person's blocked calls, once there are that many: they are stored after the answer."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                status, answer = await self.get("/apps/buzz/blocked", self.person(person_id))
                assert status == 200
                if len(answer) >= at_least:
                    return answer

    @asynccontextmanager
    async def live(self, person_id: int) -> AsyncIterator[ClientWebSocketResponse]:
        """A person's session, welcomed."""
        async with self.client.ws_connect("/apps/buzz/socket", headers=self.person(person_id)) as socket:
            await socket.send_json({"type": "hello"})
            assert (await socket.receive_json(timeout=WAIT_SECONDS))["type"] == "welcome"
            yield socket


async def event(socket: ClientWebSocketResponse) -> tuple[str, Any]:
    """The next live event's name and data."""
    while True:
        frame = await socket.receive_json(timeout=WAIT_SECONDS)
        if frame["type"] == "event":
            return frame["name"], frame["data"]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as an import would leave it, made once."""
    data_dir = tmp_path_factory.mktemp("telephony")
    asyncio.run(fill(data_dir / "buzz.db", OBJECTS, {JANES_NUMBER: JANE}))
    return data_dir


async def fill(path: Path, objects: Mapping[Kind, tuple[Object, ...]], buzz_numbers: Mapping[str, int]) -> None:
    """Make a database with this directory, and these people's Buzz numbers."""
    database = await SqliteDatabase.open(path)
    await migrate(database)
    await put_directory(database, objects, buzz_numbers)
    await database.close()


async def put_directory(
    database: Database, objects: Mapping[Kind, tuple[Object, ...]], buzz_numbers: Mapping[str, int]
) -> None:
    """Write this directory, and these people's Buzz numbers."""
    async with database.transaction() as transaction:
        for kind, found in objects.items():
            await directory_writes.write(
                transaction, kind, [ObjectChange(kind, None, each) for each in found], IMPORTED_AT_MS
            )
        given = [ImportedNumber(number, person) for number, person in buzz_numbers.items()]
        await numbers.put_many(transaction, given, IMPORTED_AT_MS)


@pytest.fixture
def data_dir(template: Path, tmp_path: Path) -> Path:
    return copy_directory(template, tmp_path / "data")


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    async with watched() as opened:
        yield opened


@pytest.fixture
async def buzz(watch: Watch, data_dir: Path, clock: Clock) -> AsyncIterator[Buzz]:
    async with open_buzz(data_dir, clock) as opened:
        yield opened


@asynccontextmanager
async def open_buzz(data_dir: Path, clock: Callable[[], int], **settings: Any) -> AsyncIterator[Buzz]:
    """Start a node on a data directory, with settings of the test's own."""
    given = {"public_url": PUBLIC_URL, "twilio_auth_token": TWILIO_TOKEN, **settings}
    async with (
        running_node(settings_for(data_dir, **given), clock) as running,
        ClientSession(base_url=running.url) as client,
    ):
        yield Buzz(client, Tokens(data_dir, clock), data_dir, running.node)
