"""Issuers that sign tokens of the forms of other providers, with keys that they serve at any path."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import rsa

KID = "the-key"


class Issuer:
    """One RSA key, published with or without its algorithm. ``url``: scheme, host and port."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65_537, 2_048)
        self.declares_algorithm = True
        self.url = ""

    def token(self, claims: dict[str, Any], algorithm: str = "RS256", **header: Any) -> str:
        """Return a token with these claims, and times around now."""
        now = int(time.time())
        return jwt.encode(
            {"iat": now, "exp": now + 3_600, **claims}, self._key, algorithm, headers={"kid": KID, **header}
        )

    async def serve(self, _: web.Request) -> web.Response:
        jwk = {**jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True), "kid": KID, "use": "sig"}
        del jwk["key_ops"]
        return web.json_response({"keys": [{**jwk, "alg": "RS256"} if self.declares_algorithm else jwk]})


@asynccontextmanager
async def issuer(context: ssl.SSLContext | None = None) -> AsyncIterator[Issuer]:
    """Run an issuer on a free port of loopback until the block ends; with a context over HTTPS."""
    made = Issuer()
    app = web.Application()
    app.add_routes([web.get("/{path:.*}", made.serve)])
    server = TestServer(app, scheme="https" if context else "http")
    await server.start_server(ssl=context)
    try:
        made.url = str(server.make_url("")).rstrip("/")
        yield made
    finally:
        await server.close()
