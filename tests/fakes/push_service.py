"""A browser's push service, or a UnifiedPush server, played on loopback; it decrypts with the subscription's keys."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.serving import served


def text_of(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def bytes_of(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with one block, by HMAC alone: the server's code uses another implementation."""

    def mac(key: bytes, data: bytes) -> bytes:
        made = hmac.HMAC(key, hashes.SHA256())
        made.update(data)
        return made.finalize()

    return mac(mac(salt, secret), info + b"\x01")[:length]


@dataclass
class Subscription:
    """What a browser has: its keys, and the endpoint that its service gave it."""

    endpoint: str
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: os.urandom(16))

    @property
    def p256dh(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def registration(self, device: str, **more: Any) -> dict[str, Any]:
        """The body of ``PUT push``."""
        keys = {"p256dh": text_of(self.p256dh), "auth": text_of(self.auth)}
        return {"device_id": device, "kind": "webpush", "endpoint": self.endpoint, "keys": keys, **more}

    def decrypt(self, body: bytes) -> bytes:
        """RFC 8291, the receiver's side; without the padding."""
        salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        theirs, record = body[21 : 21 + length], body[21 + length :]
        assert len(record) <= size
        secret = self.private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))
        combined = _hkdf(self.auth, secret, b"WebPush: info\x00" + self.p256dh + theirs, 32)
        key = _hkdf(salt, combined, b"Content-Encoding: aes128gcm\x00", 16)
        nonce = _hkdf(salt, combined, b"Content-Encoding: nonce\x00", 12)
        text = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\x00")
        assert text.endswith(b"\x02")
        return text[:-1]


@dataclass
class Received:
    """One push as it arrived."""

    name: str
    headers: dict[str, str]
    size: int
    said: dict[str, Any]


class PushService:
    """``answer`` gives a response for a subscription's name; None: 201, as browsers' services answer.

    While ``hanging`` is there and not set, no push is answered; ``begun`` counts those that came.
    """

    def __init__(self) -> None:
        self.url = ""
        self.subscriptions: dict[str, Subscription] = {}
        self.received: list[Received] = []
        self.begun = 0
        self.answer: Callable[[str], web.Response | None] = lambda name: None
        self.hanging: asyncio.Event | None = None
        self.came = asyncio.Condition()

    def subscribe(self, name: str) -> Subscription:
        made = self.subscriptions[name] = Subscription(f"{self.url}/wpush/{name}")
        return made

    def counts(self) -> Counter[str]:
        """How many pushes each subscription got."""
        return Counter(each.name for each in self.received)

    def said(self, name: str) -> list[str]:
        return [each.said["wake"] for each in self.received if each.name == name]

    async def until(self, condition: Callable[[PushService], bool], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds), self.came:
            await self.came.wait_for(lambda: condition(self))

    async def take(self, request: web.Request) -> web.Response:
        name, body = request.match_info["name"], await request.read()
        subscription = self.subscriptions[name]
        token, key = request.headers["Authorization"].removeprefix("vapid t=").split(", k=")
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes_of(key))
        claims = jwt.decode(token, public, algorithms=["ES256"], audience=self.url, options={"verify_exp": False})
        assert claims["sub"].startswith(("mailto:", "https://"))
        assert request.headers["Content-Encoding"] == "aes128gcm"
        said = json.loads(subscription.decrypt(body))
        self.begun += 1
        if self.hanging is not None:
            async with self.came:
                self.came.notify_all()
            await self.hanging.wait()
        answered = self.answer(name)
        if answered is None or answered.status < 300:
            self.received.append(Received(name, dict(request.headers), len(body), said))
        async with self.came:
            self.came.notify_all()
        return answered or web.Response(status=201, headers={"Location": f"{self.url}/m/1"})


@asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    service = PushService()
    application = web.Application()
    application.router.add_post("/wpush/{name}", service.take)
    async with served(application) as service.url:
        try:
            yield service
        finally:
            if service.hanging is not None:
                service.hanging.set()
