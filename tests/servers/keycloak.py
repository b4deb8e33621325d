"""A real Keycloak with one realm, which is imported when it starts. Its database is in memory.

A start with an import costs about 30 seconds of processor time, so a test run starts it once.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from local_servers.process import free_port
from tests.harness.programs import maven_archive

ARTIFACT: Final = "org.keycloak:keycloak-quarkus-dist:26.4.7:zip"
SHA256: Final = "dd9834c023460be856f731423d86228c23b5d002194a2064642bec0cc6573eaa"
PASSWORD: Final = "correct horse"
START_SECONDS: Final = 240
"""It is ready after some 30 seconds on a machine that has nothing else to do."""

_ADMIN: Final = "operator"
_JAVA: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xms128m -Xmx512m"
"""The fast compiler only: a process of half a minute is not worth the other one."""


class Keycloak:
    """One running Keycloak. ``url`` is its address, ``realm`` the name of the imported realm."""

    def __init__(self, url: str, realm: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.realm = realm
        self._session = session

    async def token(self, client: str, user: str) -> str:
        """Return an access token that the user gets through this client of the realm."""
        return await self._token(self.realm, client, user)

    async def foreign_token(self) -> str:
        """Return an access token of another realm, ``master``."""
        return await self._token("master", "admin-cli", _ADMIN)

    async def admin(self, method: str, path: str, **more: Any) -> Any:
        """Call the realm's admin API as its user ``operator``."""
        headers = {"Authorization": f"Bearer {await self.token('admin-cli', 'operator')}"}
        url = f"{self.url}/admin/realms/{self.realm}{path}"
        async with self._session.request(method, url, headers=headers, **more) as answer:
            assert answer.status < 300, (method, path, answer.status, await answer.text())
            return await answer.json() if answer.content_type == "application/json" else None

    async def _token(self, realm: str, client: str, user: str) -> str:
        form = {"grant_type": "password", "client_id": client, "username": user, "password": PASSWORD}
        url = f"{self.url}/realms/{realm}/protocol/openid-connect/token"
        async with self._session.post(url, data=form) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["access_token"])


def distribution() -> Path:
    """Return Keycloak's folder in the cache, built for an in-memory database. Skips the test without Java or Maven."""
    return maven_archive(ARTIFACT, SHA256, _build, JAVA_OPTS=_JAVA)


def _build(home: Path) -> tuple[str, ...]:
    return "bash", str(home / "bin" / "kc.sh"), "build", "--db=dev-mem"


@asynccontextmanager
async def running_keycloak(home: Path, folder: Path, realm: Mapping[str, Any]) -> AsyncIterator[Keycloak]:
    """Start a copy of the distribution in ``folder`` with this realm; it is stopped and deleted at the end."""
    own = folder / "keycloak"
    shutil.copytree(home, own, copy_function=_link)
    (own / "data" / "import").mkdir(parents=True)
    (own / "data" / "import" / "realm.json").write_text(json.dumps(realm))
    port = free_port()
    process = await _start(own, port)
    output: list[str] = []
    reading = asyncio.create_task(_until_listening(process, output), name="Keycloak's start")
    try:
        await asyncio.wait_for(reading, START_SECONDS)
        reading = asyncio.create_task(_read(process, output), name="Keycloak's output")
        async with aiohttp.ClientSession() as session:
            yield Keycloak(f"http://127.0.0.1:{port}", str(realm["realm"]), session)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
        await asyncio.wait({reading})
        shutil.rmtree(own)


async def _start(own: Path, port: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "bash", str(own / "bin" / "kc.sh"), "start", "--optimized", "--import-realm", "--http-enabled=true",
        "--hostname-strict=false", "--http-host=127.0.0.1", f"--http-port={port}", "--cache=local",
        env={
            **os.environ, "JAVA_OPTS": _JAVA,
            "KC_BOOTSTRAP_ADMIN_USERNAME": _ADMIN, "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD,
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


async def _until_listening(process: asyncio.subprocess.Process, output: list[str]) -> None:
    async for line in _lines(process):
        output.append(line)
        if "Listening on:" in line:
            return
    raise AssertionError("Keycloak ended before it listened:\n" + "\n".join(output[-40:]))


async def _read(process: asyncio.subprocess.Process, output: list[str]) -> None:
    output.extend([line async for line in _lines(process)])


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    assert process.stdout is not None
    async for line in process.stdout:
        yield line.decode(errors="replace").rstrip()


def _link(source: str, target: str) -> None:
    """Copy a file without its bytes where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
