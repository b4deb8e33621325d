"""Whose address a request came from, behind proxies that may be believed and clients that may not."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from server.http.client_address import client_address

PEER = "10.0.0.9"


@pytest.mark.parametrize(
    ("hops", "forwarded", "expected"),
    [
        (0, ["203.0.113.7"], PEER),
        (1, [], PEER),
        (1, ["203.0.113.7"], "203.0.113.7"),
        (1, ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (1, ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        (2, ["198.51.100.1, 203.0.113.7, 10.0.0.8"], "203.0.113.7"),
        (2, ["203.0.113.7"], PEER),
        (1, ["[2001:db8::7]:4711"], "2001:db8::7"),
        (1, ["2001:DB8::7"], "2001:db8::7"),
        (1, ["203.0.113.7:4711"], "203.0.113.7"),
        (1, ["unknown"], PEER),
        (1, [""], PEER),
        (1, ["203.0.113.7, <script>"], PEER),
    ],
)
def test_as_many_proxies_are_believed_as_the_operator_says(hops: int, forwarded: list[str], expected: str) -> None:
    headers = CIMultiDict([("X-Forwarded-For", line) for line in forwarded])
    request = make_mocked_request("GET", "/", headers=headers).clone(remote=PEER)
    assert client_address(request, hops) == expected
