"""Prevents server-side request forgery: decides to which addresses Buzz sends what others asked for.

The address is checked where the connection is made: aiohttp calls the socket factory with every address it is about to
connect to, after the name was resolved, literal addresses too. A check of the URL alone could be bypassed by a name
that resolves to a private address, or to another one the second time (DNS rebinding).
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

MAX_URL_CHARACTERS: Final = 2_048

_MAX_NAME: Final = 253
_NAME: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""RFC 1123, 2.1, with the underscore that names in use have."""

_REFUSED_IPV6: Final = [
    ip_network(text)
    for text in (
        "64:ff9b::/96",  # NAT64, RFC 6052: an IPv4 address in disguise
        "64:ff9b:1::/48",  # NAT64 of a local network, RFC 8215
        "::/96",  # IPv4-compatible, RFC 4291
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
        "2001::/23",  # protocol assignments with Teredo, RFC 2928 and 4380
        "2002::/16",  # 6to4, RFC 3056
        "fec0::/10",  # site-local, RFC 3879
        "100::/64",  # discard only, RFC 6666
        "3fff::/20",  # documentation, RFC 9637
        "5f00::/16",  # segment routing, RFC 9602
    )
]
_REFUSED_IPV4: Final = [
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
    )
]


class RefusedAddress(OSError):
    """The address of a webhook or a push is not public. The message says which address, and why."""

    def __init__(self, address: str) -> None:
        super().__init__(errno.EACCES, f"refused: {address} is not a public address")
        self.address = address


def is_public(address: str, *, allow_loopback: bool = False) -> bool:
    """Return whether Buzz may connect to this address for others (a literal, possibly with a zone such as ``%eth0``).

    Mapped addresses are checked as the address that they map to; loopback counts as public in development mode only.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return allow_loopback
    return parsed.is_global and not parsed.is_multicast and not _is_refused(parsed)


def _is_refused(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in network for network in _REFUSED_IPV4)
    return address.scope_id is not None or any(address in network for network in _REFUSED_IPV6)


def guarded_sockets(*, allow_loopback: bool = False) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Return a factory for ``aiohttp.TCPConnector(socket_factory=…)`` that makes sockets to public addresses only.

    The factory raises RefusedAddress, an OSError, for any other; aiohttp then tries the name's next address.
    """

    def make(address_info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if not is_public(address[0], allow_loopback=allow_loopback):
            raise RefusedAddress(address[0])
        return socket.socket(family=family, type=kind, proto=protocol)

    return make


def check_url(url: str, *, allow_loopback: bool = False) -> str:
    """Return the URL if an endpoint may have it. Raises ValueError that says what was expected.

    Only https; plain http to a loopback address in development mode. A host that is an address, in any form that the
    system's resolver accepts (``0x7f.1``), is checked at once; a name is checked when it is connected to.
    """
    parts = urlsplit(_plain(url))
    _check_port(parts)
    host = (parts.hostname or "").removesuffix(".")
    literal = _literal(host)
    is_name = "[" not in parts.netloc and len(host) <= _MAX_NAME and _NAME.fullmatch(host) is not None
    if not (literal or is_name) or parts.username is not None or parts.fragment:
        raise ValueError("should be https://HOST[:PORT]/PATH, without a user name and without a fragment")
    on_loopback = ip_address(literal).is_loopback if literal else host == "localhost" or host.endswith(".localhost")
    public = is_public(literal, allow_loopback=allow_loopback) if literal else not on_loopback or allow_loopback
    if not public:
        raise ValueError(f"should lead to a public address: {host} is not one")
    # The address is public here: loopback is only in development mode.
    if parts.scheme != "https" and not (parts.scheme == "http" and on_loopback):
        raise ValueError("should begin with https://")
    return url


def _check_port(parts: SplitResult) -> None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("should have a port from 1 to 65535, or none")


def _plain(url: str) -> str:
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError(f"should be a URL of at most {MAX_URL_CHARACTERS} printable ASCII characters")
    return url


def _literal(host: str) -> str | None:
    """Return the address that a host is, or None if it is a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        # inet_aton accepts what getaddrinfo does: 127.1, 0x7f.1, 017700000001, 2130706433.
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
