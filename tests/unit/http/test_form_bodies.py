"""Bodies that are nearly forms: each is read, or refused in words; none is a fault of ours or keeps us waiting."""

from __future__ import annotations

import asyncio
import sys

import pytest
from aiohttp import StreamReader
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import multipart
from protocol.errors import ApiError
from protocol.forms import Tree
from server.http.forms import TYPES, tree_of_body

BOUNDARY = "0123456789abcdef"
GOOD = multipart.encode(
    [("id", "7"), ("service_code[code]", "57"), ("other", "Grüße\r\n--line"), ("a[b][c]", "")], BOUNDARY
)
PIECES = [
    b"\r\n",
    b"--" + BOUNDARY.encode(),
    b"--",
    b"\0",
    b"\xff",
    b'Content-Disposition: form-data; name="x"',
    b"Content-Length: 99999\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Type: multipart/mixed; boundary=y\r\n",
    b"Content-Type: application/octet-stream\r\n",
    b'; filename="x.mp3"',
    b'name="_charset_"',
    b"[",
    b"]",
    b"%zz&=&a=1&a=2",
    b'{"a": ',
]


def read(content_type: str, body: bytes) -> Tree | ApiError:
    async def parsed() -> Tree:
        request = make_mocked_request("POST", "/", headers={"Content-Type": content_type})
        async with asyncio.timeout(60):
            return await tree_of_body(request, body)

    try:
        return asyncio.run(parsed())
    except ApiError as error:
        return error


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A good body with a few pieces cut out, doubled or put in."""
    body = GOOD
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 60)))
        body = body[:start] + draw(st.sampled_from([*PIECES, b"", body[start:end] * 2])) + body[end:]
    return body


def test_the_good_one_is_read() -> None:
    assert read(multipart.content_type(BOUNDARY), GOOD) == {
        "id": "7",
        "service_code": {"code": "57"},
        "other": "Grüße\r\n--line",
        "a": {"b": {"c": ""}},
    }


def calls(content_type: str, body: bytes) -> int:
    """How many functions are called to read a body: what it costs, whatever the machine does meanwhile."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        read(content_type, body)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("junk", [b"\n", b"\r\n", b"--\n", b"--" + BOUNDARY.encode() + b"x\n"])
def test_lines_before_the_first_part_cost_nothing(junk: bytes) -> None:
    """aiohttp's reader takes them one by one: 4 MiB of them would stop everybody on the node for 16 seconds."""
    content_type = multipart.content_type(BOUNDARY)
    plain, padded = calls(content_type, GOOD), calls(content_type, junk * 10_000 + GOOD)
    assert padded < plain + 1_000
    assert read(content_type, junk * 10 + GOOD) == read(content_type, GOOD)
    assert calls(content_type, junk * 10_000) < plain + 1_000


def test_lines_that_only_begin_like_a_boundary_are_passed_over_so_many_times() -> None:
    content_type, like = multipart.content_type(BOUNDARY), b"\r\n--" + BOUNDARY.encode() + b"x"
    good = b"\r\n" + GOOD
    assert read(content_type, like * 50 + good) == read(content_type, GOOD)
    refused = read(content_type, like * 200 + good)
    assert isinstance(refused, ApiError)
    assert "well-formed" in refused.message


async def test_a_part_costs_no_copy_of_what_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp's reader copies the rest of what it was fed at once: of 4 MiB, 64 parts made 250 MiB."""
    fed: list[int] = []
    feed = StreamReader.feed_data

    def feed_data(self: StreamReader, data: bytes, size: int = 0) -> bool:
        fed.append(len(data))
        return feed(self, data, size)

    monkeypatch.setattr(StreamReader, "feed_data", feed_data)
    fields = [(f"name{number}", "x" * 10_000) for number in range(60)]
    request = make_mocked_request("POST", "/", headers={"Content-Type": multipart.content_type(BOUNDARY)})
    assert await tree_of_body(request, multipart.encode(fields, BOUNDARY)) == dict(fields)
    assert max(fed) <= 64 * 1024


async def test_a_long_form_is_decoded_beside_the_loop() -> None:
    """Percent signs are costly: 4 MiB of them take more than a second."""
    request = make_mocked_request("POST", "/", headers={"Content-Type": TYPES[1]})
    reading = asyncio.create_task(tree_of_body(request, b"a=" + b"%41" * 100_000))
    turns = 0
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 2, "others came in between"
    assert await reading == {"a": "A" * 100_000}


@settings(deadline=None, max_examples=150)
@given(spoilt())
def test_a_spoilt_form_is_read_or_refused(body: bytes) -> None:
    found = read(multipart.content_type(BOUNDARY), body)
    assert isinstance(found, dict) or found.kind.http_status == 400, found


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from([*TYPES, "multipart/form-data; boundary=x", "multipart/mixed; boundary=x"]), st.binary(max_size=300)
)
def test_noise_is_read_or_refused(content_type: str, body: bytes) -> None:
    found = read(content_type, body)
    assert isinstance(found, dict) or found.kind.http_status in (400, 415), found


@pytest.mark.parametrize("cut", range(0, len(GOOD), 7))
def test_a_form_that_ends_too_early_is_refused(cut: int) -> None:
    found = read(multipart.content_type(BOUNDARY), GOOD[:cut])
    assert isinstance(found, ApiError)
