"""The address of a Buzz server: one base address, and the two kinds of URL made from it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

_HTTP_SCHEME = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
_SOCKET_SCHEME = {"http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class Address:
    """A server's base address, normalised: ``http`` or ``https``, without a slash at the end."""

    http_base: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read ``http(s)://host[:port][/prefix]`` or the same with ``ws(s)``.

        Raises ValueError if the scheme is another one or the host is missing.
        """
        parts = urlsplit(url)
        scheme = _HTTP_SCHEME.get(parts.scheme.lower())
        if scheme is None or not parts.hostname:
            raise ValueError(
                f"{url!r} is not a server address: write it like https://buzz.example or http://127.0.0.1:8080"
            )
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"{url!r} must be a base address alone, without user, query or fragment")
        return cls(f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}")

    @property
    def socket_url(self) -> str:
        """The URL of the websocket."""
        scheme, rest = self.http_base.split("://", 1)
        return f"{_SOCKET_SCHEME[scheme]}://{rest}/apps/buzz/socket"

    def route(self, path: str) -> str:
        """Return the URL of one of the app's routes, such as ``heartbeat``."""
        return f"{self.http_base}/apps/buzz/{path}"

    @property
    def is_loopback(self) -> bool:
        """Whether the server is this machine: then a configured proxy is not used."""
        host = urlsplit(self.http_base).hostname or ""
        if host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False
