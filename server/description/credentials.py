"""The credentials that routes ask for: how OpenAPI names them, and a sentence for readers."""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Credential(NamedTuple):
    """One kind of credential. ``security``: the schemes of which one is enough; none: anybody may request the route."""

    security: tuple[dict[str, list[str]], ...]
    words: str


CREDENTIALS: Final[dict[str, Credential]] = {
    "none": Credential((), "No credential."),
    "person": Credential(({"person": []},), "Credential: a person's access token."),
    "admin": Credential(({"admin": []},), "Credential: a service token of scope admin."),
    "metrics": Credential(
        ({"metrics": []}, {"admin": []}), "Credential: a service token of scope metrics, or of scope admin."
    ),
    "lookup": Credential(
        ({"lookup": []}, {"twilio": []}), "Credential: a service token of scope lookup, or Twilio's signature."
    ),
    "twilio": Credential(({"twilio": []},), "Credential: Twilio's signature."),
    # OpenAPI cannot express a signature inside the body.
    "event signature": Credential((), "Credential: the signature in the body, made with the source's keys."),
}
_BEARER: Final = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
SCHEMES: Final[dict[str, dict[str, Any]]] = {
    "person": {**_BEARER, "description": "A person's access token."},
    "lookup": {**_BEARER, "description": "A token of scope lookup."},
    "admin": {**_BEARER, "description": "A token of scope admin."},
    "metrics": {**_BEARER, "description": "A token of scope metrics."},
    "twilio": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Twilio-Signature",
        "description": "base64(HMAC-SHA1(auth token, public URL + the form's parameters, sorted)).",
    },
}
