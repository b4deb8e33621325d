"""Apple's push service, played over real HTTP/2 with TLS: it checks the token, the headers and the topic."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.harness.serving import accept_no_more

KEY_ID, TEAM_ID, TOPIC = "ABC1234567", "TEAM123456", "example.buzz"
TOKEN = "a1b2c3d4" * 8
Answer = tuple[int, dict[str, Any]]


@dataclass
class ApplePush:
    """One push that was taken."""

    token: str
    headers: dict[str, str]
    said: dict[str, Any]
    size: int


class AppleService:
    """``answer`` gives a status and a body for a token; None: 200. ``go_away``: at which push it sends GOAWAY."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.key_file = folder / "AuthKey.p8"
        self.key_file.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.taken: list[ApplePush] = []
        self.answer: Callable[[str], Answer | None] = lambda token: None
        self.go_away = 0
        self.connections = 0
        self.came = asyncio.Condition()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a server that pushes to it."""
        return {
            "push_apns_key_file": self.key_file,
            "push_apns_key_id": KEY_ID,
            "push_apns_team_id": TEAM_ID,
            "push_apns_topics": (TOPIC,),
            "push_apns_url": self.url,
            "push_apns_development_url": self.url,
        }

    async def until(self, condition: Callable[[AppleService], bool], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds), self.came:
            await self.came.wait_for(lambda: condition(self))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        with suppress(ConnectionError, ssl.SSLError, h2.exceptions.ProtocolError):
            while data := await reader.read(65_536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        requests[event.stream_id] = (dict(event.headers), bytearray())  # type: ignore[arg-type]
                    elif isinstance(event, h2.events.DataReceived):
                        requests[event.stream_id][1].extend(event.data)
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        await self._take(connection, event.stream_id, *requests.pop(event.stream_id))
                writer.write(connection.data_to_send())
                await writer.drain()
        writer.close()

    async def _take(
        self, connection: h2.connection.H2Connection, stream: int, headers: dict[str, str], body: bytearray
    ) -> None:
        status, said = self._judge(headers, bytes(body))
        if self.go_away and len(self.taken) >= self.go_away:
            # It has taken the push, and the connection ends before its answer.
            self.go_away = 0
            connection.close_connection(last_stream_id=stream)
        else:
            text = json.dumps(said).encode() if said else b""
            connection.send_headers(stream, [(":status", str(status)), ("apns-id", headers["apns-id"])], not text)
            if text:
                connection.send_data(stream, text, end_stream=True)
        async with self.came:
            self.came.notify_all()

    def _judge(self, headers: dict[str, str], body: bytes) -> Answer:
        token = headers[":path"].removeprefix("/3/device/")
        signed = headers["authorization"].removeprefix("bearer ")
        claims = jwt.decode(signed, self.key.public_key(), algorithms=["ES256"], options={"verify_iat": False})
        assert jwt.get_unverified_header(signed)["kid"] == KEY_ID
        assert claims["iss"] == TEAM_ID
        assert abs(claims["iat"] - time.time()) < 3_600
        voip = headers["apns-push-type"] == "voip"
        if headers["apns-topic"] != (f"{TOPIC}.voip" if voip else TOPIC):
            return 400, {"reason": "BadTopic"}
        assert headers["apns-priority"] == "10"
        answered = self.answer(token)
        if answered is None:
            self.taken.append(ApplePush(token, headers, json.loads(body), len(body)))
        return answered or (200, {})


@asynccontextmanager
async def apple_service(folder: Path, authority: trustme.CA) -> AsyncIterator[AppleService]:
    service = AppleService(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("localhost").configure_cert(context)
    server = await asyncio.start_server(service.serve, "localhost", 0, ssl=context, family=2)
    service.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    try:
        yield service
    finally:
        await accept_no_more(server.sockets)
        server.close()
