"""The multipart writer against aiohttp's reader."""

from __future__ import annotations

import asyncio

from aiohttp import BodyPartReader, MultipartReader, StreamReader
from aiohttp.base_protocol import BaseProtocol

from protocol import multipart


async def test_aiohttp_reads_what_is_written() -> None:
    fields = [("service_code[code]", "57"), ("other", "Grüße\r\n--line"), ("empty", ""), ('quo"ted', "x")]
    body = multipart.encode(fields, "0123456789abcdef")
    stream = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**16)
    stream.feed_data(body)
    stream.feed_eof()
    reader = MultipartReader({"Content-Type": multipart.content_type("0123456789abcdef")}, stream)
    found = []
    while (part := await reader.next()) is not None:
        assert isinstance(part, BodyPartReader)
        found.append((part.name, (await part.read()).decode()))
    assert [(str(name).replace("%22", '"'), value) for name, value in found] == fields
