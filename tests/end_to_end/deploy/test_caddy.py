"""deploy/Caddyfile in the real Caddy, in front of two real nodes.

Replaced in it are the nodes' addresses. Added are the ports in place of 80 and 443, and the certificate, which Caddy
would get by itself.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from local_servers.process import free_port
from tests.end_to_end.deploy.behaviours import Behaviours
from tests.end_to_end.deploy.shipped import ADDRESS, Certificate, Ports, Proxy, checked, running, shipped
from tests.end_to_end.deploy.site import Site, Slot, open_source, two_nodes
from tests.harness.people import JANE
from tests.harness.programs import go_program
from tests.harness.waiting import until
from tests.harness.watch import watched

pytestmark = pytest.mark.asyncio(loop_scope="module")
PACKAGE, VERSION = "github.com/caddyserver/caddy/v2/cmd/caddy", "v2.11.9"
SITE = "{$BUZZ_DOMAIN:buzz.example} {\n"
DELAY = "stream_close_delay 1h"

ADDED = """{{
	http_port {http}
	https_port {https}
	default_bind {address}
	admin {address}:{admin}
	persist_config off
}}
"""


class Caddy:
    """Caddy on the shipped file."""

    def __init__(self, folder: Path, nodes: tuple[Slot, Slot], issued: Certificate) -> None:
        self._program = go_program(PACKAGE, os.environ.get("BUZZ_TEST_CADDY", VERSION))
        self._folder = folder
        self._admin = f"{ADDRESS}:{free_port()}"
        self._nodes = nodes
        self._issued = issued
        self._ports = Ports()
        self._environment = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "PATH": os.environ["PATH"]}

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """Run it until the block ends."""
        command = [self._program, "run", "--config", self.write(), "--adapter", "caddyfile"]
        with running(command, self._folder, self._ports, self.reload, self._environment) as proxy:
            yield proxy

    def write(self, delay: str = DELAY) -> Path:
        """Write the file, with another ``stream_close_delay`` if one is given."""
        replaced = {
            " buzz-1:8080": f" {ADDRESS}:{self._nodes[0].port}",
            " buzz-2:8080": f" {ADDRESS}:{self._nodes[1].port}",
            SITE: f"{SITE}\ttls {self._issued.chain} {self._issued.key}\n",
            DELAY: delay,
        }
        added = ADDED.format(
            http=self._ports.http, https=self._ports.https, address=ADDRESS, admin=self._admin.rpartition(":")[2]
        )
        path = self._folder / "Caddyfile"
        path.write_text(added + shipped("Caddyfile", replaced))
        return path

    async def reload(self, _: Proxy) -> None:
        """``systemctl reload caddy``: the same process works by the file as it is now."""
        await checked(
            [
                *(self._program, "reload", "--force", "--config", self._folder / "Caddyfile"),
                *("--adapter", "caddyfile", "--address", self._admin),
            ],
            self._environment,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(directory_template: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Slot, Slot]]:
    async with watched(), two_nodes(directory_template, tmp_path_factory.mktemp("nodes")) as started:
        yield started


@pytest.fixture(scope="module")
def caddy(nodes: tuple[Slot, Slot], tmp_path_factory: pytest.TempPathFactory, issued: Certificate) -> Caddy:
    return Caddy(tmp_path_factory.mktemp("caddy"), nodes, issued)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(nodes: tuple[Slot, Slot], caddy: Caddy, trusting: ssl.SSLContext) -> AsyncIterator[Site]:
    with caddy.running() as proxy:
        await proxy.listening()
        yield Site(nodes, proxy, trusting, await open_source(nodes))


class TestCaddy(Behaviours):
    """The shared behaviours, and what a reload does to sockets."""

    async def noticed(self, site: Site) -> None:
        for slot in site.nodes:
            unready = f'"status_code":503,"host":"{ADDRESS}:{slot.port}"'
            await until(lambda said=unready: said in site.proxy.log)

    async def missed(self, site: Site, slot: Slot, before: int) -> None:
        refused = rf"health_checker.active.*:{slot.port}: connect: connection refused"
        await until(lambda: re.search(refused, site.proxy.log[before:]))

    async def test_a_reload_closes_sockets_once_their_delay_is_over(self, site: Site, caddy: Caddy) -> None:
        async with AsyncExitStack() as stack:
            kept = await stack.enter_async_context(site.session(JANE))
            caddy.write(delay="stream_close_delay 1ms")
            await site.proxy.reload()
            closed = await stack.enter_async_context(site.session(JANE))
            caddy.write()
            await site.proxy.reload()
            assert await closed.until_closed() == 1001
            await kept.alive()
