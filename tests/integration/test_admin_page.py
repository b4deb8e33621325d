"""The operators' page as a browser is given it, and the figures behind it."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

from server.http.scripts import without_comments
from server.http.web_files import FOLDER
from tests.fakes.privacy_buzz import ACME, Buzz, Clock, open_buzz

OURS = sorted((FOLDER / "admin").rglob("*.*"))
# The web app has ids as numbers, of which its client refuses those that would be rounded.
SCRIPTS = sorted(path for path in FOLDER.rglob("*.js") if path.relative_to(FOLDER).parts[0] not in ("vendor", "app"))
DAY_SECONDS = 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def buzz(tmp_path: Path, clock: Clock) -> AsyncIterator[Buzz]:
    async with open_buzz(tmp_path, clock) as opened:
        await opened.ask_admin("PUT", f"/admin/directory/company/{ACME}", {"name": "Acme"})
        yield opened


async def page(buzz: Buzz) -> tuple[str, str]:
    """The page, and where its files are."""
    status, text = await buzz.ask("GET", "/admin")
    assert status == 200
    [root] = set(re.findall(r"/web/[0-9a-f]{16}", text))
    return text, root


async def test_the_page_is_a_shell_that_anybody_may_have_and_nobody_may_frame(buzz: Buzz) -> None:
    async with buzz.client.get("/admin") as response:
        headers = response.headers
        assert response.content_type == "text/html"
        assert "{root}" not in await response.text()
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-cache"
    async with buzz.client.get("/admin", headers={"If-None-Match": headers["ETag"]}) as response:
        assert response.status == 304
        assert await response.read() == b""


async def test_files_are_kept_for_ever_under_their_digest_and_not_at_all_under_another(buzz: Buzz) -> None:
    _, root = await page(buzz)
    async with buzz.client.get(f"{root}/admin/app.js") as response:
        assert response.status == 200
        assert response.content_type == "text/javascript"
        assert "immutable" in response.headers["Cache-Control"]
        assert response.headers["Content-Security-Policy"]
        body = await response.read()
    assert body == without_comments((FOLDER / "admin" / "app.js").read_bytes())
    async with buzz.client.get("/web/0123456789abcdef/admin/app.js") as response:
        assert response.headers["Cache-Control"] == "no-cache"
        assert await response.read() == body


async def test_files_travel_compressed_to_those_who_can_read_that(buzz: Buzz) -> None:
    _, root = await page(buzz)
    path = f"{root}/vendor/uplot/uPlot.esm.js"
    whole = without_comments((FOLDER / "vendor" / "uplot" / "uPlot.esm.js").read_bytes())
    async with buzz.client.get(path, headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers
        assert await response.read() == whole
    async with buzz.client.get(path, headers={"Accept-Encoding": "gzip"}, auto_decompress=False) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Vary"] == "Accept-Encoding"
        packed = await response.read()
    assert len(packed) < len(whole) / 2
    assert gzip.decompress(packed) == whole


@pytest.mark.parametrize(
    "path", ["admin/nothing.js", "privacy_form/form.html", "admin/../../run.py", "admin/%2e%2e/%2e%2e/run.py", "admin"]
)
async def test_nothing_but_the_page_s_own_files_is_given(buzz: Buzz, path: str) -> None:
    _, root = await page(buzz)
    async with buzz.client.get(URL(f"{root}/{path}", encoded=True)) as response:
        assert response.status == 404


@pytest.mark.parametrize("file", OURS, ids=lambda path: path.name)
def test_no_file_names_an_outside_host_or_makes_html_of_text(file: Path) -> None:
    text = file.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//[a-z]+\.[a-z]", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage|cookie =", text)


ROUNDING = r"\.json\(\)|JSON\.parse\(|\bNumber\(|parseInt|parseFloat|(?<=[\s(,:=])\+[a-z]\w*"
EXACT = {
    "ids.js": ["JSON.parse(", "JSON.parse("],  # the two that give ids as text
    "format.js": ["Number("],  # a figure, cut to three digits
    "json.js": ["JSON.parse("],  # keeps the text of what would be rounded
}


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda path: path.name)
def test_no_id_passes_through_a_javascript_number(file: Path) -> None:
    assert re.findall(ROUNDING, file.read_text()) == EXACT.get(file.name, [])


async def test_every_module_that_a_module_names_is_there(buzz: Buzz) -> None:
    _, root = await page(buzz)
    for file in OURS:
        for name in re.findall(r'from "(\.[^"]+)"', file.read_text()):
            path = (file.parent / name).resolve().relative_to(FOLDER.resolve())
            async with buzz.client.get(f"{root}/{path}") as response:
                assert response.status == 200, (file.name, name)


async def test_trends_begin_with_the_node_and_go_on_from_where_one_was(buzz: Buzz, clock: Clock) -> None:
    buzz.node.trends.sample()
    first = await buzz.ask_admin("GET", "/admin/trends")
    assert first["at_ms"] == [clock()]
    assert first["series"]["sessions"] == [0]
    assert set(first["series"]) >= {"sends", "push_p99", "commit_p99", "lookup_p99", "loop_lag_p99", "processor"}
    clock.advance(5)
    buzz.node.trends.sample()
    more = await buzz.ask_admin("GET", f"/admin/trends?since={first['at_ms'][-1]}")
    assert more["at_ms"] == [clock()]
    for wrong in ("since=-1", "since=x", "until=3"):
        status, _ = await buzz.ask("GET", f"/admin/trends?{wrong}", buzz.admin)
        assert status == 400


async def test_deadlines_show_what_is_late_in_which_way(buzz: Buzz, clock: Clock) -> None:
    await buzz.service_code()
    old = await buzz.submit(first_name="Old")
    clock.advance(50 * DAY_SECONDS)
    new = await buzz.submit(first_name="New")
    found = await buzz.ask_admin("GET", "/admin/privacy-deadlines")
    assert found["today"] == "2020-05-03"
    assert [one["id"] for one in found["requests"]] == [old, new]
    assert found["counts"] == {
        "open": 2,
        "overdue": 1,
        "answer_overdue": 1,
        "confirmation_overdue": 1,
        "opt_out_overdue": 1,
        "completed": 0,
    }
    late = await buzz.ask_admin("GET", "/admin/privacy-deadlines?which=overdue")
    assert [one["web_form_session"]["first_name"] for one in late["requests"]] == ["Old"]
    await buzz.ask_admin("PATCH", f"/admin/privacy-requests/{old}", {"completed": True})
    done = await buzz.ask_admin("GET", "/admin/privacy-deadlines?which=completed&limit=1&offset=0")
    assert [one["id"] for one in done["requests"]] == [old]
    assert done["counts"]["overdue"] == 0


@pytest.mark.parametrize("query", ["which=late", "limit=0", "limit=501", "offset=-1", "page=2", "limit=x"])
async def test_a_question_that_makes_no_sense_is_refused(buzz: Buzz, query: str) -> None:
    status, answer = await buzz.ask("GET", f"/admin/privacy-deadlines?{query}", buzz.admin)
    assert status == 400
    assert query.partition("=")[0] in answer["error"]["message"]


async def test_endpoints_say_what_is_outstanding(buzz: Buzz) -> None:
    await buzz.endpoint("https://a.example/hook")
    [endpoint] = await buzz.ask_admin("GET", "/admin/webhook-endpoints")
    assert (endpoint["pending"], endpoint["failed"]) == (0, 0)
