"""The control of the wake-ups: posts bodies of a push's size with aiohttp, 128 at once, and prints the seconds.

`python -m bench.plain_posts URL COUNT`. Nothing is encrypted, leased or stored.
"""

from __future__ import annotations

import asyncio
import sys
import time

import aiohttp
import uvloop

AT_ONCE = 128
BODY_BYTES = 167


async def post(url: str, count: int) -> float:
    """Post `count` times; return the seconds."""
    left, body = iter(range(count)), bytes(BODY_BYTES)

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.post(url, data=body) as response:
                await response.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(AT_ONCE):
                tasks.create_task(work(session), name=f"bench-post-{number}")
        return time.perf_counter() - started


if __name__ == "__main__":
    print(uvloop.run(post(sys.argv[1], int(sys.argv[2]))))
