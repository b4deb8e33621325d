"""The part of Matrix's client API that a chat of two needs: register, a room for each pair, send, sync.

https://spec.matrix.org/latest/client-server-api/, and Synapse's shared-secret registration.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from bench.load.frames import ciphertext
from bench.load.http import HttpClient, ask, connect, fetch, get, send_json
from bench.load.sessions import gather_in_turn
from bench.process import BenchFault, ServerProcess

CLIENT = "/_matrix/client/v3"
REGISTER = "/_synapse/admin/v1/register"
_FILTER = quote(
    '{"presence":{"types":[]},"account_data":{"types":[]},"room":{"timeline":{"limit":1000},"ephemeral":{"types":[]},'
    '"state":{"lazy_load_members":true},"account_data":{"types":[]}}}'
)
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Member:
    """One person with their token, in the room that they share with their partner."""

    person: int
    token: str
    room: str


async def move_in(server: ServerProcess, partners: Iterable[tuple[int, int]], secret: str) -> list[Member]:
    """Register everybody and make a room for each pair."""
    members: list[Member] = []

    async def settle(pair: tuple[int, int]) -> None:
        first, second = [await _register(server, person, secret) for person in pair]
        invitation = {"preset": "trusted_private_chat", "invite": [f"@p{pair[1]}:bench"]}
        made = await _post(server, f"{CLIENT}/createRoom", first, invitation)
        room = str(made["room_id"])
        await _post(server, f"{CLIENT}/join/{quote(room)}", second, {})
        members.extend((Member(pair[0], first, room), Member(pair[1], second, room)))

    await gather_in_turn([pair for pair in partners if pair[0] < pair[1]], settle, at_once=4)
    return members


async def _register(server: ServerProcess, person: int, secret: str) -> str:
    nonce = _decode(await fetch(server.host, server.port, REGISTER))["nonce"]
    name, password = f"p{person}", "pass"
    signed = "\0".join((nonce, name, password, "notadmin")).encode()
    mac = hmac.new(secret.encode(), signed, hashlib.sha1).hexdigest()
    registration = {"nonce": nonce, "username": name, "password": password, "admin": False, "mac": mac}
    return str((await _post(server, REGISTER, "", registration))["access_token"])


async def _post(server: ServerProcess, path: str, token: str, value: object) -> dict[str, Any]:
    request = send_json("POST", server.host, server.port, path, token, value)
    answer: dict[str, Any] = _decode(await ask(server.host, server.port, request))
    return answer


@dataclass(slots=True)
class MatrixChat:
    """Members who send in a closed loop while each long-polls `/sync`; measures the delivery times."""

    server: ServerProcess
    sending: bool = False
    sent: int = 0
    acked: int = 0
    delays: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _sent_at: dict[int, tuple[int, float]] = field(default_factory=dict)
    _counters: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _clients: list[HttpClient] = field(default_factory=list)

    async def start(self, members: Iterable[Member], in_flight: int) -> None:
        self.sending = True
        for member in members:
            await self._follow(member)
        for member in members:
            for _ in range(in_flight):
                await self._send_on(member)

    async def _follow(self, member: Member) -> None:
        """Long-poll from now on; after each response it requests again."""

        def ask_again(client: HttpClient, since: str) -> None:
            path = f"{CLIENT}/sync?timeout=30000&filter={_FILTER}&since={quote(since)}"
            client.request(get(self.server.host, self.server.port, path, member.token))

        def answered(client: HttpClient, status: int, body: bytes) -> None:
            if status != 200:
                self.faults.append(f"sync: {status} {body[:200]!r}")
                return
            answer = _decode(body)
            self._take(member, answer)
            ask_again(client, answer["next_batch"])

        start = f"{CLIENT}/sync?timeout=0&filter={_FILTER}"
        first = _decode(await fetch(self.server.host, self.server.port, start, member.token))
        client = await connect(self.server.host, self.server.port, answered)
        self._clients.append(client)
        ask_again(client, first["next_batch"])

    def _take(self, member: Member, answer: Mapping[str, Any]) -> None:
        now = time.perf_counter()
        for room in answer.get("rooms", {}).get("join", {}).values():
            if room["timeline"].get("limited"):
                self.faults.append("a timeline with a gap")
            for event in room["timeline"]["events"]:
                counter = event["content"].get("counter")
                if counter is not None and self._sent_at[counter][0] != member.person:
                    self.delays.append(now - self._sent_at[counter][1])

    async def _send_on(self, member: Member) -> None:
        """Open a connection for each send in flight, because HTTP/1.1 answers one request at a time."""

        def answered(client: HttpClient, status: int, body: bytes) -> None:
            self.acked += 1
            if status != 200:
                self.faults.append(f"send: {status} {body[:200]!r}")
            elif self.sending:
                self._send(client, member)

        client = await connect(self.server.host, self.server.port, answered)
        self._clients.append(client)
        self._send(client, member)

    def _send(self, client: HttpClient, member: Member) -> None:
        counter = next(self._counters)
        self._sent_at[counter] = (member.person, time.perf_counter())
        self.sent += 1
        path = f"{CLIENT}/rooms/{quote(member.room)}/send/m.room.message/{counter}"
        content = {"msgtype": "m.text", "body": ciphertext(member.person), "counter": counter}
        client.request(send_json("PUT", self.server.host, self.server.port, path, member.token, content))

    def settled(self) -> bool:
        return bool(self.faults) or (self.acked == self.sent and len(self.delays) == self.sent)

    async def close(self) -> None:
        """Close every connection; BenchFault if something was refused or lost."""
        for client in self._clients:
            client.transport.abort()
        await asyncio.sleep(0)
        if self.faults:
            raise BenchFault(f"{len(self.faults)} faults, the first: {self.faults[0]}")
        if not self.settled():
            raise BenchFault(f"the peer: {self.sent} sent, {self.acked} answered, {len(self.delays)} delivered")
