"""The part of Socket.IO's protocol over a websocket that a chat needs (Engine.IO 4, Socket.IO 5).

A packet is a text frame: `0{…}` open, `2`/`3` ping and pong, `40{…}` connect, `42N["event",…]` an event whose
acknowledgement is `43N[…]`: https://socket.io/docs/v4/socket-io-protocol/ and …/engine-io-protocol/.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from bench.load import wire
from bench.load.frames import UUID_START, ciphertext, counter_of
from bench.load.sessions import gather_in_turn
from bench.load.socket import SocketClient, connect
from bench.process import BenchFault, ServerProcess

PATH = "/socket.io/?EIO=4&transport=websocket"
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Chat:
    """People who send over Socket.IO; counts acknowledgements and pushes and measures each delivery."""

    partners: dict[int, int]
    in_flight: int
    sending: bool = False
    acked: int = 0
    sent: int = 0
    pushes: int = 0
    delays: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _sent_at: dict[int, tuple[int, float]] = field(default_factory=dict)
    _counters: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def open(self, server: ServerProcess, people: Sequence[int]) -> list[SocketClient]:
        request = wire.upgrade_request(server.host, server.port, PATH)

        async def open_one(person: int) -> SocketClient:
            client = await connect(server.host, server.port, request, self.receive, person)
            client.welcomed = asyncio.get_running_loop().create_future()
            await client.welcomed
            return client

        return await gather_in_turn(people, open_one, at_once=16)

    def start(self, clients: Sequence[SocketClient]) -> None:
        self.sending = True
        for client in clients:
            self._send(client, self.in_flight)

    def receive(self, client: SocketClient, payloads: list[bytes]) -> None:
        acked = 0
        for payload in payloads:
            kind = payload[:2]
            if kind == b"43":
                acked += 1
                if b'"error"' in payload:
                    self.faults.append(payload.decode())
            elif kind == b"42":
                self._take_message(client, _decode(payload[2:])[1]["message_id"])
            else:
                self._obey(client, payload)
        self.acked += acked
        if acked and self.sending:
            self._send(client, acked)

    def _obey(self, client: SocketClient, payload: bytes) -> None:
        if payload.startswith(b"0"):
            client.write(wire.frame(wire.TEXT, b"40" + _encode({"person": client.person})))
        elif payload.startswith(b"40"):
            if client.welcomed is not None:
                client.welcomed.set_result(None)
        elif payload == b"2":
            client.write(wire.frame(wire.TEXT, b"3"))
        else:
            self.faults.append(f"unexpected packet {payload[:100]!r}")

    def _take_message(self, client: SocketClient, message_id: str) -> None:
        self.pushes += 1
        sender, sent_at = self._sent_at[counter_of(message_id)]
        if sender != client.person:
            self.delays.append(time.perf_counter() - sent_at)

    def _send(self, client: SocketClient, how_many: int) -> None:
        partner, frames = self.partners[client.person], []
        for counter in itertools.islice(self._counters, how_many):
            body = {"to": partner, "message": ciphertext(client.person), "message_id": f"{UUID_START}{counter:012x}"}
            self._sent_at[counter] = (client.person, time.perf_counter())
            frames.append(wire.frame(wire.TEXT, b"42%d" % counter + _encode(["send", body])))
        self.sent += how_many
        client.write(b"".join(frames))

    def settled(self) -> bool:
        """Return whether every send was acknowledged and pushed to both."""
        return self.acked == self.sent and self.pushes == 2 * self.sent

    def check(self) -> None:
        if self.faults:
            raise BenchFault(f"{len(self.faults)} faults, the first: {self.faults[0]}")
