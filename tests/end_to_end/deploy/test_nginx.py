"""deploy/nginx.conf in the real nginx, in front of two real nodes.

Replaced in it are the nodes' addresses, the ports 80 and 443, and the paths of the certificate. What nginx.conf has
around it, here as in Debian's package, is written by the test.
"""

from __future__ import annotations

import os
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

AROUND = """
daemon off;
{user}
worker_processes 2;
worker_shutdown_timeout 1h;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/buzz.conf;
}}
"""


@contextmanager
def nginx(folder: Path, nodes: tuple[Slot, Slot], issued: Certificate) -> Iterator[Proxy]:
    """Run nginx on the shipped file until the block ends."""
    ports = Ports()
    replaced = {
        "server buzz-1:8080": f"server {ADDRESS}:{nodes[0].port}",
        "server buzz-2:8080": f"server {ADDRESS}:{nodes[1].port}",
        "listen 80;": f"listen {ADDRESS}:{ports.http};",
        "listen 443 ssl;": f"listen {ADDRESS}:{ports.https} ssl;",
        "/etc/ssl/buzz.example.pem": str(issued.chain),
        "/etc/ssl/buzz.example.key": str(issued.key),
    }
    (folder / "buzz.conf").write_text(shipped("nginx.conf", replaced))
    # Its workers would otherwise be another user, who may not enter the test's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user))
    command = [program("nginx"), "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf"]
    with running(command, folder, ports, reload, how=signal.SIGQUIT) as proxy:
        yield proxy


async def reload(proxy: Proxy) -> None:
    """``nginx -s reload``: new processes take new connections, old ones keep theirs."""
    started, leaving = proxy.count("start worker process "), proxy.count("gracefully shutting down")
    proxy.process.send_signal(signal.SIGHUP)
    await until(lambda: proxy.count("start worker process ") > started)
    await until(lambda: proxy.count("gracefully shutting down") > leaving)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="site")
async def behind_nginx(
    directory_template: Path, tmp_path_factory: pytest.TempPathFactory, issued: Certificate, trusting: ssl.SSLContext
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    async with watched(), two_nodes(directory_template, folder) as nodes:
        with nginx(folder, nodes, issued) as proxy:
            await proxy.listening()
            yield Site(nodes, proxy, trusting, await open_source(nodes))


class TestNginx(Behaviours):
    """The shared behaviours."""
