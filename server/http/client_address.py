"""The address a request came from, behind as many proxies as the operator says there are."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from aiohttp import web

_HEADER = "X-Forwarded-For"


def client_address(request: web.Request, trusted_hops: int) -> str:
    """The client's address. Each of ``trusted_hops`` proxies appends to X-Forwarded-For the address it was called from.

    What stands further left was written by the client and is not believed. Too few entries, or one that is no address:
    the address of the connection itself.
    """
    peer = request.remote or ""
    if trusted_hops < 1:
        return peer
    forwarded = [entry.strip() for line in request.headers.getall(_HEADER, []) for entry in line.split(",")]
    if len(forwarded) < trusted_hops:
        return peer
    return _address(forwarded[-trusted_hops]) or peer


def address_group(address: str) -> str:
    """What counts as one address: of IPv6 the /64, which is the least that one subscriber has (RFC 6177)."""
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
