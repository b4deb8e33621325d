"""The addresses to which webhooks may be sent."""

from __future__ import annotations

import socket

import pytest

from server.http.guard import RefusedAddress, check_url, guarded_sockets, is_public

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "::ffff:1.1.1.1"]
PRIVATE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::a00:1",
    "64:ff9b::101:101",
    "64:ff9b:1::1",
    "::ffff:0:a00:1",
    "2002:a00:1::1",
    "2001:0:1::1",
    "2001:db8::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
    "100::1",
    "3fff::1",
    "",
    "localhost",
    "example.com",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_taken(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_every_other_address_is_refused(address: str) -> None:
    assert not is_public(address)


def test_in_development_loopback_is_taken_and_nothing_else_is() -> None:
    assert all(is_public(address, allow_loopback=True) for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"))
    loopback = {"127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"}
    assert not any(is_public(address, allow_loopback=True) for address in PRIVATE if address not in loopback)


def test_a_socket_is_made_for_a_public_address_alone() -> None:
    make = guarded_sockets()
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    make((*info, ("1.1.1.1", 443))).close()
    with pytest.raises(RefusedAddress, match=r"10\.0\.0\.1 is not a public address"):
        make((*info, ("10.0.0.1", 443)))
    with pytest.raises(OSError, match="not a public"):
        make((socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::ffff:10.0.0.1", 443, 0, 0)))


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/buzz",
        "https://hooks.example.com:8443/a?b=c",
        "https://1.1.1.1/",
        "https://[2606::1]/",
        "https://my_hooks.EXAMPLE.com./",
        "https://xn--nicode-2ya.example/",
    ],
)
def test_endpoints_that_are_taken(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://hooks.example.com/", "https://"),
        ("ftp://hooks.example.com/", "https://"),
        ("//hooks.example.com/", "https://"),
        ("hooks.example.com", "https://"),
        ("https:///path", "https://HOST"),
        ("https://user:password@hooks.example.com/", "user name"),
        ("https://hooks.example.com/#x", "fragment"),
        ("https://hooks.example.com:99999/", "port"),
        ("https://hooks.example.com:0/", "port"),
        ("https://hooks.example.com/ x", "printable"),
        ("https://hooks.example.com\\@10.0.0.1/", "printable"),
        ("https://ünïcode.example/", "ASCII"),
        ("https://x.example/" + "a" * 2_048, "at most 2048"),
        ("https://127.0.0.1/", "public"),
        ("https://0x7f.1/", "public"),
        ("https://2130706433/", "public"),
        ("https://017700000001/", "public"),
        ("https://127.1/", "public"),
        ("https://[::1]/", "public"),
        ("https://[::ffff:10.0.0.1]/", "public"),
        ("https://[64:ff9b::a00:1]/", "public"),
        ("https://169.254.169.254/latest/meta-data", "public"),
        ("https://localhost/", "public"),
        ("https://LOCALHOST./", "public"),
        ("https://hooks.localhost/", "public"),
        ("https://%31%32%37.0.0.1/", "https://HOST"),
        ("https://hooks..example.com/", "https://HOST"),
        ("https://.example.com/", "https://HOST"),
        ("https://-x.example.com/", "https://HOST"),
        ("https://[v1.x]/", "https://HOST"),
        ("https://" + "a" * 64 + ".example/", "https://HOST"),
        ("https://" + "a.b" * 100 + ".example/", "https://HOST"),
        ("http://127.0.0.1/", "public"),
    ],
)
def test_endpoints_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_url(url)


def test_in_development_an_endpoint_may_be_on_loopback_without_tls() -> None:
    for url in ("http://127.0.0.1:8081/hook", "http://localhost:8081/hook", "https://127.0.0.1/", "http://[::1]:1/"):
        assert check_url(url, allow_loopback=True) == url
    for url in ("http://hooks.example.com/", "http://10.0.0.1/", "https://10.0.0.1/"):
        with pytest.raises(ValueError):
            check_url(url, allow_loopback=True)
