"""Firebase Cloud Messaging, played over HTTPS with its OAuth exchange. It offers HTTP/2, which it does not speak."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import trustme
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.harness.serving import served

PROJECT, EMAIL = "buzz-example", "buzz@buzz-example.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FirebaseService:
    """``answer`` gives a status and an error for a device's token; None: 200."""

    def __init__(self) -> None:
        self.url = ""
        self.key = rsa.generate_private_key(65_537, 2_048)
        self.exchanges = 0
        self.valid: set[str] = set()
        self.taken: list[dict[str, Any]] = []
        self.sizes: set[int] = set()
        self.answer: Callable[[str], tuple[int, dict[str, Any]] | None] = lambda token: None
        self.came = asyncio.Condition()

    def write_credentials(self, file: Path) -> Path:
        """Write the JSON file of the service account, as Google's console gives it."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        fields = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": pem,
            "client_email": EMAIL,
            "token_uri": f"{self.url}/token",
        }
        file.write_text(json.dumps(fields))
        return file

    async def until(self, condition: Callable[[FirebaseService], bool], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds), self.came:
            await self.came.wait_for(lambda: condition(self))

    async def exchange(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        claims = jwt.decode(
            str(form["assertion"]), self.key.public_key(), algorithms=["RS256"], audience=f"{self.url}/token"
        )
        assert (claims["iss"], claims["scope"]) == (EMAIL, SCOPE)
        self.exchanges += 1
        token = f"ya29.{self.exchanges}"
        self.valid = {token}
        return web.json_response({"access_token": token, "expires_in": 3_599, "token_type": "Bearer"})

    async def send(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"].removeprefix("Bearer ") not in self.valid:
            return web.json_response({"error": {"code": 401, "status": "UNAUTHENTICATED"}}, status=401)
        body = await request.read()
        message = json.loads(body)["message"]
        answered = self.answer(message["token"])
        if answered is None:
            self.taken.append(message)
            self.sizes.add(len(body) - len(message["token"]))
        async with self.came:
            self.came.notify_all()
        if answered is not None:
            return web.json_response(answered[1], status=answered[0])
        return web.json_response({"name": f"projects/{PROJECT}/messages/0:1"})


@web.middleware
async def _only_without_http_2(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Hang up where HTTP/2 was negotiated: Google would now get HTTP/1 in its place, and do the same."""
    assert request.transport is not None
    if request.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
        request.transport.close()
    return await handler(request)


@asynccontextmanager
async def firebase_service(authority: trustme.CA) -> AsyncIterator[FirebaseService]:
    service = FirebaseService()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    application = web.Application(middlewares=[_only_without_http_2])
    application.router.add_post("/token", service.exchange)
    application.router.add_post(f"/v1/projects/{PROJECT}/messages:send", service.send)
    async with served(application, context) as service.url:
        yield service
