"""The client's address of a request, behind the configured number of proxies."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from aiohttp import web
from multidict import MultiMapping

_HEADER = "X-Forwarded-For"


def client_address(request: web.Request, trusted_hops: int) -> str:
    """Return the client's address. Each of ``trusted_hops`` proxies appends its client's address to X-Forwarded-For.

    Entries further left were written by the client and are not trusted. If there are too few entries, or the entry is
    no address, it returns the address of the connection itself.
    """
    return address_behind(request.remote or "", request.headers, trusted_hops)


def address_behind(peer: str, headers: MultiMapping[str], trusted_hops: int) -> str:
    """Return the client's address, as :func:`client_address`, of a request with these headers from ``peer``."""
    if trusted_hops < 1:
        return peer
    forwarded = [entry.strip() for line in headers.getall(_HEADER, []) for entry in line.split(",")]
    if len(forwarded) < trusted_hops:
        return peer
    return _address(forwarded[-trusted_hops]) or peer


def address_group(address: str) -> str:
    """Return what counts as one address: for IPv6 the /64, the smallest network of one subscriber (RFC 6177)."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(int(parsed) >> 64) if isinstance(parsed, IPv6Address) and not parsed.ipv4_mapped else str(parsed)


def _address(text: str) -> str | None:
    # Some proxies add the port: [2001:db8::7]:4711, 203.0.113.7:4711.
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        return str(ip_address(bare))
    except ValueError:
        return None
