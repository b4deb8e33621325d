"""What the container image copies is enough: its tree is made as deploy/Dockerfile says, and serves every page."""

from __future__ import annotations

import re
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path

import aiohttp

from server.http.web_files import WebFile
from tests.harness.pages import started

ROOT = Path(__file__).parents[3]
ADDRESSES = re.compile(r'(?:href|src)="(/[^"#]*)"')


def image_tree(target: Path) -> Path:
    """Copy what the image's own stage copies from the repository, without what .dockerignore leaves out."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source, to in re.findall(
        r"^COPY (\S+) /opt/buzz/(\S*)$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE
    ):
        for path in [ROOT / source, *(ROOT / source).rglob("*")]:
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and any(name.startswith(f"{each}/") or fnmatch(name, each) for each in allowed):
                copied = target / (to or source) / path.relative_to(ROOT / source)
                copied = target / source if path == ROOT / source else copied
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copied)
    return target


async def test_every_page_and_the_files_it_names_are_in_the_image(tmp_path: Path) -> None:
    tree = image_tree(tmp_path / "buzz")
    arguments = [sys.executable, "run.py", "serve", "--dev", "--port", "0", "--data-dir", str(tmp_path / "data")]
    async with (
        started(*arguments, cwd=tree, PYTHONPATH="", PYTHONDONTWRITEBYTECODE="1") as url,
        aiohttp.ClientSession(url) as http,
    ):
        for page in ("/", "/docs", "/docs/guides/protocol", "/admin"):
            async with http.get(page) as response:
                assert response.status == 200, page
                named = ADDRESSES.findall(await response.text())
            for address in named:
                async with http.get(address) as response:
                    assert response.status == 200, (page, address)
        async with http.get("/client/js/index.js") as response:
            source = (ROOT / "client" / "js" / "src" / "index.js").read_bytes()
            assert await response.read() == WebFile.of(source, ".js").body
