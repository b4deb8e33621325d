"""Twilio's request signature: ``X-Twilio-Signature`` = base64(HMAC-SHA1(auth token, URL + sorted form)).

https://www.twilio.com/docs/usage/security#validating-requests. HMAC-SHA1 is Twilio's choice; the known collisions of
SHA-1 do not affect it as a keyed authenticator.

The URL is the one that is configured at Twilio: the public base and the raw path and query exactly as they were
received, never rebuilt from decoded parts.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

SIGNATURE_HEADER: Final = "X-Twilio-Signature"
BODY_HASH_PARAMETER: Final = "bodySHA256"

_DEFAULT_PORTS: Final[Mapping[str, int]] = {"https": 443, "http": 80}

Form = Iterable[tuple[str, str]]
"""The decoded pairs of a form body; a name may occur several times."""


def sign(auth_token: str, url: str, form: Form = ()) -> str:
    """Return the signature of a request to ``url``: form values sorted by name, a repeated value taken once."""
    text = url + "".join(name + value for name, value in sorted(set(form)))
    digest = hmac.new(auth_token.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha1).digest()
    return b64encode(digest).decode("ascii")


def is_genuine(auth_token: str, signature: str | None, url: str, *, form: Form = (), body: bytes | None = None) -> bool:
    """Return whether Twilio, which has ``auth_token``, made this request.

    ``form`` are the pairs of a form body; ``body`` are the raw bytes of any other body, which must then agree with the
    URL's ``bodySHA256``. Comparisons take constant time. A missing signature, or an empty auth token (none configured),
    is refused.
    """
    if not signature or not auth_token:
        return False
    pairs = tuple(form)
    shown = signature.encode("utf-8", "surrogateescape")
    # Both are always computed, because Twilio is not consistent about which of the two it signs.
    matches = [hmac.compare_digest(sign(auth_token, each, pairs).encode(), shown) for each in port_variants(url)]
    return any(matches) and (not body or _body_agrees(url, body))


def public_url(base: str, raw_path_and_query: str) -> str:
    """Return the URL that Twilio called: the public base (``https://buzz.example``) and the raw path and query."""
    return base.rstrip("/") + raw_path_and_query


def port_variants(url: str) -> tuple[str, str]:
    """Return ``url`` without a port, and with one (its own, or its scheme's default). The rest stays unchanged."""
    scheme, separator, rest = url.partition("://")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    host, port = _split_port(authority)
    with_port = authority if port else f"{host}:{_DEFAULT_PORTS.get(scheme, 80)}"
    return f"{scheme}{separator}{host}{tail}", f"{scheme}{separator}{with_port}{tail}"


def _split_port(authority: str) -> tuple[str, str]:
    host, colon, port = authority.rpartition(":")
    is_port = bool(colon) and port.isascii() and port.isdigit()  # the colons inside [::1] do not begin a port
    return (host, port) if is_port else (authority, "")


def _body_agrees(url: str, body: bytes) -> bool:
    claimed = parse_qs(urlsplit(url).query).get(BODY_HASH_PARAMETER)
    if not claimed:
        return False  # the signature would not cover this body
    return hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), claimed[0].lower().encode())
