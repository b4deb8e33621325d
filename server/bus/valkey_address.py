"""The address of the bus in ``bus_url``: one server, several of which one answers, or sentinels that know the server.

``valkey://user:password@host:6379/0``, ``valkey://one:6379,two:6379`` and ``sentinel://one:26379,two/name``, each with
an ``s`` after the scheme for TLS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

MAX_HOSTS: Final = 32
_SERVER_PORT: Final = 6_379
_SENTINEL_PORT: Final = 26_379
_SCHEMES: Final = {"valkey": "redis", "valkeys": "rediss", "sentinel": "redis", "sentinels": "rediss"}
_WITH_TLS: Final = ("valkeys", "rediss", "sentinels")
_SENTINEL_USER: Final = "sentinel_username"
_SENTINEL_PASSWORD: Final = "sentinel_password"
_ESCAPED: Final = str.maketrans({mark: f"%{ord(mark):02X}" for mark in "%:/?#[]@,"})

Host = tuple[str, int]


@dataclass(frozen=True)
class BusAddress:
    """Where the bus is. ``name``: what the sentinels call the server; None if ``hosts`` are servers."""

    hosts: tuple[Host, ...]
    name: str | None
    shown: str
    """For messages: without user, password and options."""
    _given: str
    _url: SplitResult
    _query: str
    _sentinel_user: str

    @property
    def tls(self) -> bool:
        """Whether the connections use TLS."""
        return self._url.scheme in _WITH_TLS

    @property
    def options(self) -> list[tuple[str, str]]:
        """The options for the client library, by name."""
        return parse_qsl(self._query)

    def server(self, host: Host | None = None) -> str:
        """Return the client library's URL of a server. ``host``: other than the only one that the address names."""
        if self._url.scheme == "unix":
            return self._given
        user = self._url.netloc.rpartition("@")[0]
        path = self._url.path if self.name is None else ""
        return self._of(user, host or self.hosts[0], path)

    def sentinel(self, host: Host) -> str:
        """Return the client library's URL of a sentinel."""
        return self._of(self._sentinel_user, host, "")

    def _of(self, user: str, host: Host, path: str) -> str:
        scheme = _SCHEMES.get(self._url.scheme, self._url.scheme)
        netloc = f"{user}@{shown(host)}" if user else shown(host)
        return SplitResult(scheme, netloc, path, self._query, "").geturl()


def parse_address(url: str) -> BusAddress:
    """Read ``bus_url``. Raises ValueError that says what is wrong, without the user and the password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return BusAddress((), None, parts.path, url, parts, parts.query, "")
    by_sentinels = parts.scheme in ("sentinel", "sentinels")
    hosts = _hosts(parts.netloc.rpartition("@")[2], _SENTINEL_PORT if by_sentinels else _SERVER_PORT)
    name = unquote(parts.path.strip("/")) if by_sentinels else None
    if name == "":
        raise ValueError("sentinel://… should end with the name that the sentinels monitor: sentinel://host:26379/name")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    sentinel_user = _user(options.pop(_SENTINEL_USER, ""), options.pop(_SENTINEL_PASSWORD, "")) if by_sentinels else ""
    where = ",".join(map(shown, hosts))
    told = where if name is None else f"{where} (sentinels of {name})"
    return BusAddress(hosts, name, told, url, parts, urlencode(options), sentinel_user)


def shown(host: Host) -> str:
    """Return ``host:port``, an IPv6 address in brackets."""
    name, port = host
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _hosts(text: str, port: int) -> tuple[Host, ...]:
    found = tuple(_host(each.strip(), port) for each in text.split(","))
    if len(found) > MAX_HOSTS:
        raise ValueError(f"it should name at most {MAX_HOSTS} hosts")
    return found


def _host(text: str, port: int) -> Host:
    try:
        parts = urlsplit(f"//{text}")
        given = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is no HOST:PORT") from error
    if not parts.hostname or parts.netloc != text:
        raise ValueError(f"{text!r} is no HOST:PORT")
    return parts.hostname, port if given is None else given


def _user(name: str, password: str) -> str:
    return f"{name.translate(_ESCAPED)}:{password.translate(_ESCAPED)}" if name or password else ""
