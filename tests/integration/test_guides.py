"""The guides as /docs renders them: every page, every link between them, and what the search knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from server.description.guides import FOLDER, SLUGS, WRITTEN_ADDRESS, guide, heading_slug
from server.http.public_address import PublicAddress
from server.routes.documentation import MOST_RENDERED, DocumentationResource
from tests.harness.world import open_world

LINKS = re.compile(r'<a [^>]*?href="([^"]+)"')


def test_every_page_of_docs_is_a_guide() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(SLUGS)


@pytest.mark.parametrize("slug", SLUGS)
def test_its_links_lead_to_headings_that_exist(slug: str) -> None:
    made = guide(slug)
    assert made.title
    assert "<!--" not in made.html
    assert "<script" not in made.html
    for link in LINKS.findall(made.html):
        path, _, part = link.partition("#")
        target = path.removeprefix("/docs/guides/") if path.startswith("/docs/guides/") else slug
        assert link == "/docs" or path == "" or path.startswith(("/docs/guides/", "https://", "http://", "mailto:"))
        if part and "://" not in path:
            assert f'id="{part}"' in guide(target).html, link


def test_headings_are_named_as_the_repositorys_pages_link_to_them() -> None:
    assert heading_slug("`GET` and 200 % – what's that?") == "get-and-200---whats-that"
    assert 'id="a-token-that-is-refused"' in guide("operation").html


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if WRITTEN_ADDRESS in guide(slug).html])
async def test_they_name_the_address_of_the_node(slug: str, tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        page = (await world.http().get(f"/docs/guides/{slug}")).body.decode()
        assert page.count(world.url) == guide(slug).html.count(WRITTEN_ADDRESS)
        assert WRITTEN_ADDRESS not in page
        other = await world.http().get(f"/docs/guides/{slug}", headers={"Host": 'other"><script>:81'})
        assert "http://other&quot;&gt;&lt;script&gt;:81" in other.body.decode()
    async with open_world(tmp_path, public_url="https://buzz.example") as world:
        assert "https://buzz.example/" in (await world.http().get(f"/docs/guides/{slug}")).body.decode()


@pytest.mark.parametrize("host", ["[::1", "buzz.example:99999"])
@pytest.mark.parametrize("path", ["/docs/guides/protocol", "/asyncapi.json"])
async def test_a_host_that_is_none_is_refused(path: str, host: str, tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        answer = await world.http().get(path, headers={"Host": host})
        assert (answer.status, answer.json["error"]["message"].startswith("Bad Request: the Host header")) == (
            400,
            True,
        )


async def test_pages_are_kept_for_so_many_addresses() -> None:
    guides = DocumentationResource(PublicAddress(None, 0))
    application = web.Application()
    application.router.add_routes(guides.routes())
    async with TestServer(application) as server, ClientSession() as session:
        for number in range(MOST_RENDERED + 2):
            host = f"node{number}.example"
            async with session.get(server.make_url("/docs/guides/getting-started"), headers={"Host": host}) as answer:
                assert host in await answer.text()
    assert 0 < len(guides._guides) <= MOST_RENDERED


async def test_they_are_served_and_the_search_has_all_of_them(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        page = await world.http().get("/docs/guides/protocol")
        assert (page.status, page.headers["Cache-Control"]) == (200, "no-cache")
        again = await world.http().get("/docs/guides/protocol", headers={"If-None-Match": page.headers["ETag"]})
        assert again.status == 304
        assert (await world.http().get("/docs/guides/nothing")).status == 404
        assert (await world.http().get("/docs/guides/..%2fsecurity", encoded=True)).status == 404
        found = (await world.http().get("/docs/search.json")).json
        assert {each["page"] for each in found} == {guide(slug).title for slug in SLUGS} | {"Reference"}
        assert "POST /apps/buzz/activity" in {each["title"] for each in found}
