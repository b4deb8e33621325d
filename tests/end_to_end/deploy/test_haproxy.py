"""deploy/haproxy.cfg in the real HAProxy, in front of two real nodes.

Replaced in it are the nodes' addresses, the ports 80 and 443, and the path of the certificate. The user that HAProxy
becomes is left out, because others can't read the test's folder, and ``maxconn`` is small, as a test may have few file
descriptors.
"""

from __future__ import annotations

import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.end_to_end.deploy.behaviours import Behaviours
from tests.end_to_end.deploy.shipped import ADDRESS, Certificate, Ports, Proxy, running, shipped
from tests.end_to_end.deploy.site import Site, Slot, open_source, two_nodes
from tests.harness.programs import program
from tests.harness.waiting import until
from tests.harness.watch import watched

pytestmark = pytest.mark.asyncio(loop_scope="module")


@contextmanager
def haproxy(folder: Path, nodes: tuple[Slot, Slot], issued: Certificate) -> Iterator[Proxy]:
    """Run HAProxy on the shipped file until the block ends, with a master process as systemd's unit does."""
    ports = Ports()
    replaced = {
        " buzz-1:8080": f" {ADDRESS}:{nodes[0].port}",
        " buzz-2:8080": f" {ADDRESS}:{nodes[1].port}",
        "bind :80\n": f"bind {ADDRESS}:{ports.http}\n",
        "bind :443 ": f"bind {ADDRESS}:{ports.https} ",
        "/etc/haproxy/buzz.example.pem": str(issued.both),
        "maxconn 40000": "maxconn 400",
        "    user haproxy\n    group haproxy\n": "",
    }
    file = folder / "haproxy.cfg"
    file.write_text(shipped("haproxy.cfg", replaced))
    with running([program("haproxy"), "-W", "-f", file], folder, ports, reload, how=signal.SIGTERM) as proxy:
        yield proxy


async def reload(proxy: Proxy) -> None:
    """``systemctl reload haproxy``: a new process takes new connections, the old one keeps its own."""
    loaded = proxy.count("Loading success")
    proxy.process.send_signal(signal.SIGUSR2)
    await until(lambda: proxy.count("Loading success") > loaded)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="site")
async def behind_haproxy(
    directory_template: Path, tmp_path_factory: pytest.TempPathFactory, issued: Certificate, trusting: ssl.SSLContext
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("haproxy")
    async with watched(), two_nodes(directory_template, folder) as nodes:
        with haproxy(folder, nodes, issued) as proxy:
            await proxy.listening()
            yield Site(nodes, proxy, trusting, await open_source(nodes))


class TestHaproxy(Behaviours):
    """The shared behaviours."""

    async def noticed(self, site: Site) -> None:
        await until(lambda: "backend buzz_sockets has no server available" in site.proxy.log)

    async def missed(self, site: Site, slot: Slot, before: int) -> None:
        down = f"Server buzz_sockets/buzz-{site.nodes.index(slot) + 1} is DOWN"
        await until(lambda: down in site.proxy.log[before:])
