"""The forms of ``bus_url``."""

from __future__ import annotations

import pytest

from server.bus.valkey_address import MAX_HOSTS, parse_address


@pytest.mark.parametrize(
    ("url", "servers", "shown"),
    [
        ("valkey://h", ["redis://h:6379"], "h:6379"),
        ("valkeys://u:p@h:1/2?ssl_check_hostname=false", ["rediss://u:p@h:1/2?ssl_check_hostname=false"], "h:1"),
        ("redis://:p%2C%40@one,two:7000/3", ["redis://:p%2C%40@one:6379/3", "redis://:p%2C%40@two:7000/3"], None),
        (
            "redis://[::1]:6380, [fe80::1]",
            ["redis://[::1]:6380", "redis://[fe80::1]:6379"],
            "[::1]:6380,[fe80::1]:6379",
        ),
    ],
)
def test_servers(url: str, servers: list[str], shown: str | None) -> None:
    address = parse_address(url)
    assert [address.server(host) for host in address.hosts] == servers
    assert address.server() == servers[0]
    assert address.shown == (shown or "one:6379,two:7000")


def test_sentinels() -> None:
    address = parse_address("sentinels://u:p@one,two:1/the%20bus?ssl_ca_certs=%2Fca.pem&sentinel_password=%40x%2F")
    assert address.name == "the bus"
    assert address.hosts == (("one", 26379), ("two", 1))
    assert address.shown == "one:26379,two:1 (sentinels of the bus)"
    assert address.sentinel(("one", 26379)) == "rediss://:%40x%2F@one:26379?ssl_ca_certs=%2Fca.pem"
    assert address.server(("10.0.0.1", 6379)) == "rediss://u:p@10.0.0.1:6379?ssl_ca_certs=%2Fca.pem"


def test_a_unix_socket() -> None:
    address = parse_address("unix:///run/valkey?db=1")
    assert (address.server(), address.shown, address.hosts) == ("unix:///run/valkey?db=1", "/run/valkey", ())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("valkey://u:secret@h:port", "'h:port' is no HOST:PORT"),
        ("valkey://u:secret@h:70000", "is no HOST:PORT"),
        ("valkey://u:secret@a,,b", "'' is no HOST:PORT"),
        ("valkey://u:secret@[::1", "HOST:PORT|IPv6"),
        ("sentinel://u:secret@a,b", "should end with the name"),
        ("sentinel://u:secret@a,b/", "should end with the name"),
        ("valkey://u:secret@" + ",".join(["h"] * (MAX_HOSTS + 1)), "at most 32 hosts"),
    ],
)
def test_what_is_not_understood(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        parse_address(url)
    assert "secret" not in str(raised.value)
