"""Two real nodes behind a real proxy, and clients that reach them as people do: by name, over TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult
from websockets.exceptions import InvalidStatus

from server.app import open_node
from server.http.listening import listen
from server.node.node import Node
from tests.end_to_end.deploy.shipped import ADDRESS, NAME, Certificate, Proxy
from tests.harness.http import Answer, Http
from tests.harness.node import RunningNode, Tokens, settings_for
from tests.harness.peer import JSON, WAIT_SECONDS, Peer, peer
from tests.harness.people import ACME, JANE, copy_directory
from tests.harness.unread import Unread, unread
from tests.harness.waiting import until

SEND_BUFFER = 16 * 1024
"""What the kernel keeps of a node's answer, so that a reader who stalls is soon noticed."""
CLIENT = "127.0.0.7"
"""Clients connect from another address than the proxy, so that one is not mistaken for the other."""
MAX_SESSIONS, MAX_HANDSHAKES = 6, 3
_DRAIN_SECONDS = 60
CODE, SOURCE_KEY = "57", "the other service's key"


class Loopback(AbstractResolver):
    """Every name leads to the proxy."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=ADDRESS, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """There is nothing to close."""


class Slot:
    """The place of one node: it may be stopped and started again, and keeps its address and its data."""

    def __init__(self, data_dir: Path, tokens: Tokens, **settings: Any) -> None:
        self._settings = settings_for(data_dir, **settings)
        self._tokens = tokens
        self._stack = AsyncExitStack()
        self.port = 0
        self.running: RunningNode

    @property
    def node(self) -> Node:
        return self.running.node

    @property
    def data_dir(self) -> Path:
        return self._settings.data_dir

    @property
    def sockets(self) -> int:
        """How many sockets the node has."""
        return len(self.node.socket._sockets)

    @asynccontextmanager
    async def session(self, person: int) -> AsyncIterator[Peer]:
        """Open a session at the node itself."""
        async with peer(self.running.url) as opened:
            await opened.hello(self._tokens.person(person))
            yield opened

    async def admin(self, path: str, body: Any) -> Any:
        """Ask an admin route of the node itself."""
        async with aiohttp.ClientSession() as session:
            http = Http(session, self.running.url, self._tokens.service("admin"))
            answer = await http("POST", path, json=body)
        assert answer.status < 300, answer.body
        return answer.json

    def has(self, opened: Peer) -> bool:
        """Return whether this session is on this node."""
        return self.node.hub.get(opened.welcome["session_id"]) is not None

    async def start(self) -> None:
        """Start the node at its address; the first time at a free port."""
        node = await self._stack.enter_async_context(open_node(self._settings))
        listening = listen(ADDRESS, self.port)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # accepted ones inherit it
        self.port = listening.getsockname()[1]
        # The rest of a body that was refused is read for so long, also after the node has stopped.
        await node.listen(listening, lingering_time=1)
        self.running = RunningNode(node, ADDRESS, self.port, self._settings)

    async def stop(self, drain_seconds: float = 0) -> None:
        """Drain and stop the node, as SIGTERM does."""
        await self.node.stop(drain_seconds)
        await self._stack.aclose()


class Site:
    """What a test uses: the nodes, the proxy in front of them, and clients."""

    def __init__(self, nodes: tuple[Slot, Slot], proxy: Proxy, tls: ssl.SSLContext, source_path: str) -> None:
        self.nodes = nodes
        self.proxy = proxy
        self.tls = tls
        self.tokens = Tokens(nodes[0].data_dir)
        self.source_path = source_path

    @property
    def url(self) -> str:
        """The address that clients use: with a port, which is the proxy's own in place of 443."""
        return f"https://{NAME}:{self.proxy.ports.https}"

    @property
    def sockets(self) -> list[int]:
        """How many sockets each node has."""
        return [slot.sockets for slot in self.nodes]

    async def quiet(self) -> None:
        """Wait until no socket of an earlier test is open."""
        await until(lambda: sum(self.sockets) == 0)

    @asynccontextmanager
    async def http(
        self, person: int | None = None, *, token: str | None = None, address: str = CLIENT, url: str | None = None
    ) -> AsyncIterator[Http]:
        """Return a client for requests through the proxy, from this address. ``url``: another one than the site's."""
        connector = aiohttp.TCPConnector(resolver=Loopback(), ssl=self.tls, local_addr=(address, 0))
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Http(session, url or self.url, self.tokens.person(person) if person is not None else token)

    async def get(self, path: str, person: int | None = None, **more: Any) -> Answer:
        """Send one request on a connection of its own."""
        async with self.http(person) as http:
            return await http.get(path, **more)

    @asynccontextmanager
    async def socket(self, subprotocol: str = JSON, *, address: str = CLIENT, **more: Any) -> AsyncIterator[Peer]:
        """Open a socket through the proxy, from this address, without ``hello``."""
        async with peer(self.url, subprotocol, ssl=self.tls, host=ADDRESS, local_addr=(address, 0), **more) as opened:
            yield opened

    async def status_of(self, path: str, token: str) -> int:
        """Return the status of a path that is sent as it is written, without being put into its usual form."""
        async with self.http(token=token) as http:
            return (await http.get(path, encoded=True)).status

    @asynccontextmanager
    async def session(self, person: int, **more: Any) -> AsyncIterator[Peer]:
        """Open a session through the proxy."""
        async with self.socket(**more) as opened:
            await opened.hello(self.tokens.person(person))
            yield opened

    @asynccontextmanager
    async def session_on(self, slot: Slot, person: int) -> AsyncIterator[Peer]:
        """Open sessions through the proxy until one is on this node, and close the others."""
        async with AsyncExitStack() as kept:
            async with AsyncExitStack() as others:
                opened = None
                while opened is None or not slot.has(opened):
                    attempt = AsyncExitStack()
                    opened = await attempt.enter_async_context(self.session(person))
                    (kept if slot.has(opened) else others).push_async_callback(attempt.aclose)
            yield opened

    @asynccontextmanager
    async def replaced(self, *slots: Slot) -> AsyncIterator[None]:
        """Stop these nodes with the end of the block that drains them; at the end of this one start them again."""
        try:
            yield
        finally:
            for slot in slots:
                await slot.start()
            for slot in slots:
                await self.used(slot, JANE)

    @asynccontextmanager
    async def draining(self, *slots: Slot) -> AsyncIterator[None]:
        """Drain nodes, as SIGTERM does; a session on each of them keeps it running until the end of the block."""
        stopping: list[asyncio.Task[None]] = []
        try:
            async with AsyncExitStack() as last:
                opened = [await last.enter_async_context(self.session_on(slot, JANE)) for slot in slots]
                stopping = [asyncio.create_task(slot.stop(_DRAIN_SECONDS)) for slot in slots]
                for session in opened:
                    await session.until_frame("reconnect")
                yield
        finally:
            await asyncio.gather(*stopping)

    async def used(self, slot: Slot, person: int) -> None:
        """Wait until the proxy sends sockets to this node."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                with suppress(InvalidStatus):  # 503: the proxy knows of no node that is ready
                    async with self.session(person) as opened:
                        if slot.has(opened):
                            return
                await asyncio.sleep(0.05)  # the proxy asks once a second whether the node is ready

    @asynccontextmanager
    async def unread(self, path: str, person: int) -> AsyncIterator[Unread]:
        """Request a path through the proxy and read only the head of the answer."""
        async with unread(self.url, path, self.tokens.person(person), tls=self.tls, host=ADDRESS) as response:
            yield response


@asynccontextmanager
async def two_nodes(template: Path, folder: Path) -> AsyncIterator[tuple[Slot, Slot]]:
    """Start two nodes with the same people, each with a database of its own: what one stores, the other has not."""
    first, second = (copy_directory(template, folder / f"node-{number}") for number in (1, 2))
    slots = [
        Slot(
            data_dir,
            Tokens(first),
            trusted_hops=1,
            max_sessions=MAX_SESSIONS,
            max_handshakes_per_address=MAX_HANDSHAKES,
            signing_key_file=first / "signing-key.pem",
            public_url=f"https://{NAME}",
        )
        for data_dir in (first, second)
    ]
    try:
        for slot in slots:
            await slot.start()
        yield slots[0], slots[1]
    finally:
        await asyncio.gather(*(slot.stop() for slot in slots))


async def open_source(nodes: tuple[Slot, Slot]) -> str:
    """Give both nodes a privacy form and a source of events; returns the path for its events, the same on both."""
    paths = []
    for slot in nodes:
        await slot.admin("/admin/service-codes", {"code": CODE, "company_id": ACME, "name": "privacy"})
        made = await slot.admin("/admin/webhook-sources", {"company_id": ACME, "api_key": SOURCE_KEY})
        paths.append(made["url"].removeprefix(f"https://{NAME}"))
    assert paths[0] == paths[1]
    return str(paths[0])


def certificate(authority: trustme.CA, folder: Path) -> Certificate:
    """Write a certificate for the site's name."""
    issued = authority.issue_cert(NAME)
    files = Certificate(folder / "chain.pem", folder / "key.pem", folder / "both.pem")
    files.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    files.key.write_bytes(issued.private_key_pem.bytes())
    files.both.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    return files
