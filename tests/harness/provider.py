"""An identity provider: it publishes keys over HTTP, signs tokens with them, and removes keys."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec

ISSUER, AUDIENCE = "https://login.example", "buzz-app"


class Provider:
    """Keys by their ids. With ``settings`` a node trusts it."""

    def __init__(self) -> None:
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.url = ""
        self.add("old")
        self.add("new")

    @property
    def settings(self) -> dict[str, Any]:
        return {"jwks": self.url, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}

    def add(self, kid: str) -> None:
        self._keys[kid] = ec.generate_private_key(ec.SECP256R1())

    def take_away(self, kid: str) -> None:
        """Stop publishing the key."""
        del self._keys[kid]

    def token(self, person: int, kid: str, **claims: Any) -> str:
        """Return a token that is right except for the given claims; a claim that is None is left out."""
        return self.signed({**_claims(person), **claims}, kid)

    def signed(self, claims: Mapping[str, Any], kid: str, *, by: str | None = None) -> str:
        """Return a token with these claims that names the key ``kid``, signed by the key ``by`` if one is given."""
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.PyJWS().encode(json.dumps(kept).encode(), self._keys[by or kid], "ES256", headers={"kid": kid})

    def jwks(self) -> dict[str, Any]:
        """Return the keys as they are published."""
        to_jwk = jwt.algorithms.ECAlgorithm.to_jwk
        keys = [{**to_jwk(key.public_key(), as_dict=True), "kid": kid} for kid, key in self._keys.items()]
        return {"keys": keys}

    async def serve(self, _: web.Request) -> web.Response:
        return web.json_response(self.jwks())


def _claims(person: int) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": str(person), "iat": now, "exp": now + 3_600}


@asynccontextmanager
async def identity_provider() -> AsyncIterator[Provider]:
    """Run a provider on a free port until the block ends."""
    provider = Provider()
    app = web.Application()
    app.add_routes([web.get("/jwks", provider.serve)])
    async with TestServer(app) as server:
        provider.url = str(server.make_url("/jwks"))
        yield provider
