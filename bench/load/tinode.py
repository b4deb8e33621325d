"""The part of Tinode's protocol that a chat needs, as JSON over a websocket.

Each message has one name: `hi`, `acc` (makes an account), `login`, `sub` and `pub` from the client; `ctrl` (the answer
with the same id), `data` (a message of a topic) and others from the server: docs/API.md of Tinode.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from bench.load import wire
from bench.load.frames import UUID_START, ciphertext
from bench.load.sessions import gather_in_turn
from bench.load.socket import SocketClient, connect
from bench.load.socketio import Chat
from bench.process import BenchFault, ServerProcess

SALT = b"salt-of-the-bench: 32 bytes long"
VERSION = "0.25"
AT_ONCE = 8
ACCEPTED, REFUSED, LOCKED = 202, 400, 503
PAUSE_SECONDS = 0.05
ANSWERED_WITHIN_SECONDS = 30.0
_encode = msgspec.json.Encoder().encode


def api_key() -> str:
    """Return the key that every client sends: algorithm 1, no application, sequence 1, not root, and HMAC-MD5."""
    data = bytes([1, 0, 0, 0, 0, 1, 0, 0])
    return base64.urlsafe_b64encode(data + hmac.digest(SALT, data, hashlib.md5)).decode()


class Content(msgspec.Struct, gc=False):
    message_id: str


class Data(msgspec.Struct, gc=False):
    content: Content


class Ctrl(msgspec.Struct, gc=False):
    code: int
    id: str = ""
    text: str = ""
    params: dict[str, object] | None = None


class Answer(msgspec.Struct, gc=False):
    """A message from the server; one that is neither (presence, typing) has nothing."""

    ctrl: Ctrl | None = None
    data: Data | None = None


_answers = msgspec.json.Decoder(Answer)


@dataclass(frozen=True, slots=True)
class Account:
    user: str
    token: str


@dataclass(slots=True)
class TinodeChat(Chat):
    """People who publish to the topic that they have with their partner.

    `accounts` are those of people who have one already; others get one when they open a session for the first time.
    """

    accounts: dict[int, Account] = field(default_factory=dict)
    _asked: dict[tuple[int, str], asyncio.Future[Ctrl]] = field(default_factory=dict)

    async def register(self, server: ServerProcess, people: Sequence[int]) -> None:
        """Make an account for each of `people`."""

        async def register(person: int) -> None:
            client = await self._greet(server, person)
            secret = base64.b64encode(f"person{person}:password{person}".encode()).decode()
            access = {"auth": "JRWPS", "anon": "N"}
            made = await self._ask(
                client,
                "acc",
                {"user": "new", "scheme": "basic", "secret": secret, "login": True, "desc": {"defacs": access}},
            )
            found = made.params or {}
            self.accounts[person] = Account(str(found["user"]), str(found["token"]))
            client.abort()

        await gather_in_turn(people, register, at_once=AT_ONCE)

    async def open(self, server: ServerProcess, people: Sequence[int]) -> list[SocketClient]:
        """Log everybody in and attach them to the topic of their pair."""

        async def open_one(person: int) -> SocketClient:
            client = await self.log_in(server, person)
            await self._ask(client, "sub", {"topic": self.accounts[self.partners[person]].user})
            return client

        # One of each pair makes the topic, the other one joins it.
        first = await gather_in_turn(people[::2], open_one, at_once=AT_ONCE)
        return first + await gather_in_turn(people[1::2], open_one, at_once=AT_ONCE)

    async def log_in(self, server: ServerProcess, person: int, *, topic: str = "") -> SocketClient:
        """Open a session with the token of the person's account, attached to `topic` if there is one."""
        client = await self._greet(server, person)
        await self._ask(client, "login", {"scheme": "token", "secret": self.accounts[person].token})
        if topic:
            await self._ask(client, "sub", {"topic": topic})
        return client

    async def _greet(self, server: ServerProcess, person: int) -> SocketClient:
        request = wire.upgrade_request(server.host, server.port, f"/v0/channels?apikey={api_key()}")
        client = await connect(server.host, server.port, request, self.receive, person)
        await self._ask(client, "hi", {"ver": VERSION})
        return client

    async def _ask(self, client: SocketClient, name: str, value: dict[str, object]) -> Ctrl:
        """Send a message and return its answer, again while a topic is locked; BenchFault if it is refused."""
        key, answer = (id(client), name), Ctrl(LOCKED)
        async with asyncio.timeout(ANSWERED_WITHIN_SECONDS):
            while answer.code == LOCKED:
                self._asked[key] = asyncio.get_running_loop().create_future()
                client.write(wire.frame(wire.TEXT, _encode({name: {"id": name, **value}})))
                answer = await self._asked[key]
                if answer.code == LOCKED:
                    await asyncio.sleep(PAUSE_SECONDS)
        if answer.code >= REFUSED:
            raise BenchFault(f"Tinode answers {name} with {answer.code}: {answer.text}")
        return answer

    def receive(self, client: SocketClient, payloads: list[bytes]) -> None:
        acked = 0
        for payload in payloads:
            answer = _answers.decode(payload)
            if answer.data is not None:
                self._take_message(client, answer.data.content.message_id)
            elif answer.ctrl is not None:
                asked = self._asked.pop((id(client), answer.ctrl.id), None)
                if asked is not None:
                    asked.set_result(answer.ctrl)
                elif answer.ctrl.code == ACCEPTED:
                    acked += 1
                elif answer.ctrl.code >= REFUSED:
                    self.faults.append(f"{answer.ctrl.code}: {answer.ctrl.text}")
        self.acked += acked
        if acked and self.sending:
            self._send(client, acked)

    def _send(self, client: SocketClient, how_many: int) -> None:
        topic, message, frames = self.accounts[self.partners[client.person]].user, ciphertext(client.person), []
        for counter in itertools.islice(self._counters, how_many):
            content = {"message": message, "message_id": f"{UUID_START}{counter:012x}"}
            self._sent_at[counter] = (client.person, time.perf_counter())
            command = {"pub": {"id": str(counter), "topic": topic, "content": content}}
            frames.append(wire.frame(wire.TEXT, _encode(command)))
        self.sent += how_many
        client.write(b"".join(frames))
