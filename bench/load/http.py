"""A keep-alive HTTP/1.1 client for the load's needs only: responses with a length, or in chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import msgspec

from bench.load.socket import connected_socket
from bench.process import BenchFault

READ_BYTES = 1 << 20
ANSWER_WITHIN_SECONDS = 30.0
_LAST_CHUNK = b"\r\n0\r\n\r\n"
ResponseHandler = Callable[["HttpClient", int, bytes], None]


class HttpClient(asyncio.Protocol):
    """One connection with one request out at a time; `on_response` gets the status and the body of each answer."""

    __slots__ = ("_data", "on_response", "transport")

    def __init__(self, on_response: ResponseHandler) -> None:
        self._data = b""
        self.on_response = on_response
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's

    def data_received(self, data: bytes) -> None:
        if self._data:
            data = self._data + data
        body_at = data.find(b"\r\n\r\n") + 4
        body_end = _body_end(data, body_at) if body_at > 3 else 0
        if 0 < body_end <= len(data):
            self._data = data[body_end:]
            body = data[body_at:body_end]
            if body.endswith(_LAST_CHUNK) and b"content-length:" not in data[:body_at].lower():
                body = b"".join(ChunkedBody().feed(body))
            self.on_response(self, int(data[9:12]), body)
        else:
            self._data = data

    def request(self, request: bytes) -> None:
        self.transport.write(request)


def _body_end(data: bytes, body_at: int) -> int:
    """Return where the response ends, 0 while that is unknown."""
    length_at = data.find(b"Content-Length: ", 0, body_at)
    if length_at >= 0:
        return body_at + int(data[length_at + 16 : data.index(b"\r", length_at)])
    return len(data) if data.endswith(_LAST_CHUNK) else 0


async def connect(host: str, port: int, on_response: ResponseHandler) -> HttpClient:
    loop = asyncio.get_running_loop()
    sock = await connected_socket(host, port)
    _, client = await loop.create_connection(lambda: HttpClient(on_response), sock=sock)
    return client


def get(host: str, port: int, path: str, token: str = "") -> bytes:
    """Return the bytes of a GET request, with a bearer token if there is one."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n".encode()


def send_json(method: str, host: str, port: int, path: str, token: str, value: object) -> bytes:
    """Return the bytes of a request with a JSON body."""
    body = msgspec.json.encode(value)
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def fetch(host: str, port: int, path: str, token: str = "") -> bytes:
    """Return one response's body; BenchFault unless the status is 200."""
    return await ask(host, port, get(host, port, path, token))


async def ask(host: str, port: int, request: bytes) -> bytes:
    """Return the body of a response on a connection of its own; BenchFault unless the status is 200."""
    answered: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    client = await connect(host, port, lambda _, status, body: answered.set_result((status, body)))
    client.request(request)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
            status, body = await answered
    finally:
        client.transport.abort()
    if status != 200:
        raise BenchFault(f"{request.partition(b' HTTP')[0]!r} was answered with {status}: {body[:200]!r}")
    return body


class ChunkedBody:
    """Decodes a body in chunks (RFC 9112 section 7.1), piece by piece as it arrives."""

    __slots__ = ("_mark", "_missing", "ended")

    def __init__(self) -> None:
        self._mark = b""
        self._missing = 0
        self.ended = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the parts of the body that are in `data`."""
        parts: list[bytes] = []
        position = 0
        while position < len(data) and not self.ended:
            if self._missing:
                part = data[position : position + self._missing]
                self._missing -= len(part)
                position += len(part)
                parts.append(part)
                continue
            end = data.find(b"\n", position)
            if end < 0:
                self._mark += data[position:]
                break
            mark, self._mark, position = (self._mark + data[position:end]).strip(), b"", end + 1
            if mark:  # the empty line ends the chunk before
                self._missing = int(mark, 16)
                self.ended = self._missing == 0
        return parts


async def stream(host: str, port: int, path: str, token: str, on_part: Callable[[bytes], None]) -> None:
    """GET a chunked response and yield its body; BenchFault unless it is a complete 200 in chunks."""
    reader, writer = await asyncio.open_connection(sock=await connected_socket(host, port), limit=READ_BYTES)
    try:
        writer.write(get(host, port, path, token))
        head = await reader.readuntil(b"\r\n\r\n")
        if int(head[9:12]) != 200 or b"chunked" not in head.lower():
            raise BenchFault(f"GET {path}: not a 200 in chunks: {head!r}")
        body = ChunkedBody()
        while not body.ended:
            data = await reader.read(READ_BYTES)
            if not data:
                raise BenchFault(f"GET {path}: the answer was cut off")
            for part in body.feed(data):
                on_part(part)
    finally:
        writer.close()
