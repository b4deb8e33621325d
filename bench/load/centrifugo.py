"""The part of Centrifugo's client protocol that a chat needs, as JSON over a websocket.

A frame has commands or replies, one a line: `{"id":1,"connect":{…}}`, `{"id":2,"subscribe":{…}}`,
`{"id":3,"publish":{…}}`, a reply with the same id, a push `{"push":{…}}`, and `{}` for a ping and its answer:
https://centrifugal.dev/docs/transports/client_protocol.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from bench.load import wire
from bench.load.frames import UUID_START, ciphertext
from bench.load.sessions import gather_in_turn
from bench.load.socket import SocketClient, connect
from bench.load.socketio import Chat
from bench.process import ServerProcess

PATH = "/connection/websocket"
SECRET = "bench-secret-of-thirty-two-bytes!"
AT_ONCE = 16
_encode = msgspec.json.Encoder().encode


class Message(msgspec.Struct, gc=False):
    message_id: str


class Publication(msgspec.Struct, gc=False):
    data: Message


class Push(msgspec.Struct, gc=False):
    pub: Publication | None = None


class Reply(msgspec.Struct, gc=False):
    """One line from the server; a ping has nothing."""

    id: int = 0
    error: dict[str, object] | None = None
    connect: dict[str, object] | None = None
    subscribe: dict[str, object] | None = None
    publish: dict[str, object] | None = None
    push: Push | None = None


_replies = msgspec.json.Decoder(Reply)


def token(person: int) -> str:
    """Return a JSON Web Token for this person, with HMAC-SHA256."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(_encode({"sub": str(person)}))
    return (signed + b"." + part(hmac.digest(SECRET.encode(), signed, hashlib.sha256))).decode()


@dataclass(slots=True)
class ChannelChat(Chat):
    """People who publish to a channel that they share with their partner: both subscribe to it."""

    async def open(self, server: ServerProcess, people: Sequence[int]) -> list[SocketClient]:
        """Connect everybody and subscribe them to the channel of their pair."""
        request = wire.upgrade_request(server.host, server.port, PATH)

        async def open_one(person: int) -> SocketClient:
            client = await connect(server.host, server.port, request, self.receive, person)
            client.welcomed = asyncio.get_running_loop().create_future()
            _write(client, {"id": 1, "connect": {"token": token(person)}})
            await client.welcomed
            return client

        return await gather_in_turn(people, open_one, at_once=AT_ONCE)

    def channel(self, person: int) -> str:
        return f"pair-{min(person, self.partners[person])}"

    def receive(self, client: SocketClient, payloads: list[bytes]) -> None:
        acked = 0
        for payload in payloads:
            for reply in map(_replies.decode, payload.splitlines()):
                if reply.push is not None and reply.push.pub is not None:
                    self._take_message(client, reply.push.pub.data.message_id)
                elif reply.publish is not None:
                    acked += 1
                else:
                    self._obey_reply(client, reply)
        self.acked += acked
        if acked and self.sending:
            self._send(client, acked)

    def _obey_reply(self, client: SocketClient, reply: Reply) -> None:
        if reply.connect is not None:
            _write(client, {"id": 2, "subscribe": {"channel": self.channel(client.person)}})
        elif reply.subscribe is not None and client.welcomed is not None:
            client.welcomed.set_result(None)
        elif reply == Reply():
            client.write(wire.frame(wire.TEXT, b"{}"))
        else:
            self.faults.append(f"unexpected reply {reply}")

    def _send(self, client: SocketClient, how_many: int) -> None:
        channel, message, frames = self.channel(client.person), ciphertext(client.person), []
        for counter in itertools.islice(self._counters, how_many):
            data = {"to": self.partners[client.person], "message": message, "message_id": f"{UUID_START}{counter:012x}"}
            self._sent_at[counter] = (client.person, time.perf_counter())
            frames.append(
                wire.frame(wire.TEXT, _encode({"id": counter + 2, "publish": {"channel": channel, "data": data}}))
            )
        self.sent += how_many
        client.write(b"".join(frames))


def _write(client: SocketClient, command: dict[str, object]) -> None:
    client.write(wire.frame(wire.TEXT, _encode(command)))
