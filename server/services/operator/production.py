"""The settings that production must have: the defaults of development must not serve real people."""

from __future__ import annotations

from server.auth.signing_keys import KeyFileError, is_exposed, load
from server.config.settings import Settings

_MIN_SECRET_CHARACTERS = 16
"""Real secrets are longer (Twilio's auth token has 32 characters); those of examples are not."""


def faults(settings: Settings) -> list[str]:
    """Return why Buzz must not start in production with these settings, one sentence each. Reads the key file."""
    found = [*_address(settings), *_secrets(settings), *_signing_key(settings)]
    return [] if settings.development else found


def _address(settings: Settings) -> list[str]:
    if settings.public_url is None:
        return ["BUZZ_PUBLIC_URL is not set: set it to the https address that clients and Twilio use for this server."]
    if not settings.public_url.startswith("https://"):
        return ["BUZZ_PUBLIC_URL is not https: put a proxy with TLS in front, and set its address."]
    return []


def _secrets(settings: Settings) -> list[str]:
    token = settings.twilio_auth_token
    if token is not None and len(token.get_secret_value()) < _MIN_SECRET_CHARACTERS:
        return ["BUZZ_TWILIO_AUTH_TOKEN is too short to be a real one: copy it from Twilio's console."]
    return []


def _signing_key(settings: Settings) -> list[str]:
    path = settings.signing_key_path
    if not path.exists():
        return []  # the first start creates a new one
    try:
        ring, exposed = load(path), is_exposed(path)
    except KeyFileError as error:
        return [str(error)]
    found = []
    if ring.development:
        found.append(
            f"The signing key {path} was made in development mode: move it away, and the server makes a new one."
        )
    if exposed:
        found.append(f"The signing key {path} can be read by other users: run chmod 600 on it.")
    return found
