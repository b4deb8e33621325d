"""Name resolution in threads of its own.

A name server that hangs delays neither the rest of the server, which resolves in the loop's default threads, nor (until
that many hang) what is sent to other names.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

_THREADS: Final = 64


class ThreadResolver(AbstractResolver):
    """Runs ``getaddrinfo`` in a pool of threads that start when needed."""

    def __init__(self, name: str) -> None:
        """``name`` is the beginning of the threads' names."""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=name)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name. Raises OSError if it has none."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=each,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for each, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Start no more look-ups; running ones end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
