"""What every proxy of deploy/ does in front of Buzz. Each proxy's test class inherits these tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from server.routes.activities import MAX_POST_BYTES
from server.routes.webhook_receiver import MAX_EVENT_BYTES
from server.runtime.clock import wall_clock_ms
from storage.contract import Posting
from tests.end_to_end.deploy.shipped import ADDRESS, NAME
from tests.end_to_end.deploy.site import CLIENT, MAX_HANDSHAKES, MAX_SESSIONS, SOURCE_KEY, Site, Slot
from tests.fakes.browser import open_browser, open_page
from tests.fakes.privacy_buzz import FORM
from tests.fakes.seed_events import VOICEMAIL
from tests.harness.http import Http
from tests.harness.peer import MSGPACK, Peer, chat
from tests.harness.people import BOB, CAROL, CROWD, JANE, rows
from tests.harness.postings import message
from tests.harness.waiting import until

CLAIMED = "203.0.113.9"
CLAIMS = {
    "X-Forwarded-For": f"198.51.100.1, {CLAIMED}",
    "X-Real-IP": CLAIMED,
    "Forwarded": f"for={CLAIMED};host=evil.example;proto=http",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
}
AS_JSON = {"Content-Type": "application/json"}
HISTORY = "/apps/buzz/activity/0"
RECORDING_BYTES = 1_572_864
INSIDE = ("/metrics", "/admin", "/admin/", "/admin/sessions")
SPELLINGS = ("/%6detrics", "/%61dmin", "/admin%2fsessions", "/%61dmin/sessions", "/./admin", "/apps/../metrics")


class Behaviours:
    """The tests. ``site`` is the fixture of the module: two nodes behind the proxy."""

    # --- sockets ------------------------------------------------------------------------------------------------

    async def test_a_page_of_this_site_opens_a_session(self, site: Site) -> None:
        """Its origin has a port, which the proxy must leave in ``Host``."""
        async with site.socket(MSGPACK, origin=site.url) as jane:
            await jane.hello(site.tokens.person(JANE))
            assert (await jane.post(chat(JANE, BOB)))["type"] == "ack"

    async def test_a_page_in_a_browser_opens_a_session(self, site: Site) -> None:
        """A browser chooses the version of HTTP itself, also for the socket."""
        resolver = f"--host-resolver-rules=MAP {NAME} {ADDRESS}"
        async with (
            open_browser(resolver, "--ignore-certificate-errors") as browser,
            open_page(browser, f"{site.url}/healthz") as opened,
        ):
            said = await opened.page.evaluate(_SAY_HELLO, site.tokens.person(JANE))
        assert json.loads(said)["type"] == "welcome", said

    async def test_a_page_of_another_site_is_refused(self, site: Site) -> None:
        for origin in ("https://evil.example", site.url.rpartition(":")[0], site.url + "0"):
            async with site.socket(origin=origin) as page:
                assert await page.until_closed() == 4403, origin

    async def test_the_address_that_counts_is_the_clients_whatever_it_claims(self, site: Site) -> None:
        await site.quiet()
        async with AsyncExitStack() as stack:
            for number in range(len(site.nodes) * MAX_HANDSHAKES):
                await stack.enter_async_context(site.socket(headers=claiming(number)))
            await until(lambda: sum(site.sockets) == len(site.nodes) * MAX_HANDSHAKES)
            one_more = await stack.enter_async_context(site.socket(headers=claiming(99)))
            assert await one_more.until_closed() == 4429
            other = await stack.enter_async_context(site.socket(address="127.0.0.8", headers=CLAIMS))
            await other.hello(site.tokens.person(JANE))

    async def test_the_address_that_is_stored_is_the_clients_whatever_it_claims(self, site: Site) -> None:
        for address in (CLIENT, "127.0.0.8"):
            async with site.http(address=address) as http:
                answer = await http("POST", "/privacy-requests/57", json={**FORM, "other": address}, headers=CLAIMS)
            assert answer.status == 201, answer.body
        stored = [row for slot in site.nodes for row in rows(slot.data_dir, _REMOTE_IPS)]
        assert sorted(stored) == [(CLIENT, CLIENT), ("127.0.0.8", "127.0.0.8")]

    # --- which node ---------------------------------------------------------------------------------------------

    async def test_a_full_node_takes_no_socket_and_the_other_one_does(self, site: Site) -> None:
        await site.quiet()
        full, free = site.nodes
        async with AsyncExitStack() as stack:
            await fill(stack, full)
            for number in range(MAX_SESSIONS):
                await joined(stack, site, number)
            assert site.sockets == [MAX_SESSIONS, MAX_SESSIONS]
            assert free.sockets == MAX_SESSIONS

    async def test_requests_go_on_while_every_node_is_full(self, site: Site) -> None:
        await site.quiet()
        async with AsyncExitStack() as stack:
            for slot in site.nodes:
                await fill(stack, slot)
            http = await stack.enter_async_context(site.http(JANE))
            for _ in range(6):
                with pytest.raises(InvalidStatus) as refused:
                    await joined(stack, site, 0)
                assert refused.value.response.status_code == 503
                assert (await http.get(HISTORY)).status == 200
        await site.quiet()
        async with AsyncExitStack() as stack:
            await joined(stack, site, 0)

    async def test_a_node_that_is_replaced_gets_no_new_sockets_and_nobody_notices(self, site: Site) -> None:
        for leaving, staying in (site.nodes, reversed(site.nodes)):
            await site.quiet()
            async with AsyncExitStack() as stack, site.replaced(leaving):
                http = await stack.enter_async_context(site.http(JANE))
                async with site.draining(leaving):
                    for number in range(3):
                        await joined(stack, site, number)
                        assert (await http.get(HISTORY)).status == 200
                    assert (leaving.sockets, staying.sockets) == (1, 3)
                assert [(await http.get(HISTORY)).status for _ in range(6)] == [200] * 6

    async def test_requests_are_answered_while_no_node_is_ready(self, site: Site) -> None:
        """Nodes that drain, or whose database is gone, still answer: that a caller hears the busy tone, for example."""
        async with site.replaced(*site.nodes), site.draining(*site.nodes):
            await self.noticed(site)
            for _ in range(4):
                assert (await site.get(HISTORY, JANE)).status == 200
                with pytest.raises(InvalidStatus) as refused:
                    async with site.session(JANE):
                        pass
                assert refused.value.response.status_code == 503

    async def noticed(self, site: Site) -> None:
        """Wait until the proxy knows that no node is ready, if it asks nodes that."""

    async def test_a_node_that_just_came_back_answers_when_the_other_one_goes(self, site: Site) -> None:
        """The proxy takes both for what they were a moment ago: the one that is back for gone, the other for there."""
        for back, gone in (site.nodes, reversed(site.nodes)):
            await site.quiet()
            async with site.replaced(gone):
                before = len(site.proxy.log)
                await back.stop()
                try:
                    await self.missed(site, back, before)
                finally:
                    await back.start()
                    await gone.stop()
                async with site.http(JANE) as http:
                    assert [(await http.get(HISTORY)).status for _ in range(6)] == [200] * 6
                    assert [(await http.post(chat(JANE, BOB))).status for _ in range(6)] == [200] * 6

    async def missed(self, site: Site, slot: Slot, before: int) -> None:
        """Wait until the proxy knows that this node is gone; ``before``: the length of its log while it was there."""
        async with site.http(JANE) as http:
            assert [(await http.get(HISTORY)).status for _ in range(12)] == [200] * 12

    # --- requests -----------------------------------------------------------------------------------------------

    async def test_what_is_for_operators_is_not_found_from_outside(self, site: Site) -> None:
        admin = site.tokens.service("admin")
        found = {path: await site.status_of(path, admin) for path in (*INSIDE, *SPELLINGS)}
        assert set(found.values()) == {404}, found

    async def test_http_leads_to_https(self, site: Site) -> None:
        async with site.http(url=f"http://buzz.example:{site.proxy.ports.http}") as http:
            answer = await http.get(
                "/apps/buzz/activity?limit=1", headers={"Host": "buzz.example"}, allow_redirects=False
            )
        assert answer.status == 308
        assert answer.headers["Location"] == "https://buzz.example/apps/buzz/activity?limit=1"

    async def test_headers_pass_in_both_directions(self, site: Site) -> None:
        wanted = {"Idempotency-Key": "one-key", "Origin": site.url}
        repeated = chat(JANE, BOB)
        async with site.http(JANE) as http:
            answers = [await http.post(repeated, headers=wanted) for _ in range(len(site.nodes) + 1)]
        assert {answer.status for answer in answers} == {200}
        assert {answer.headers["Access-Control-Allow-Origin"] for answer in answers} == {site.url}
        assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)
        assert "true" in {answer.headers.get("Idempotent-Replayed") for answer in answers}

    async def test_a_voicemail_of_one_and_a_half_mebibytes_passes(self, site: Site) -> None:
        event = json.dumps(signed(RECORDING_BYTES)).encode()
        assert len(event) > RECORDING_BYTES
        async with site.http() as http:
            answer = await http("POST", site.source_path, data=io.BytesIO(event), headers=AS_JSON)
        assert (answer.status, answer.json) == (200, {"result": "stored"})

    async def test_a_body_beyond_buzzs_limits_is_refused_and_does_no_harm(self, site: Site) -> None:
        cases = [
            ("/apps/buzz/activity", MAX_POST_BYTES + 1),
            ("/apps/buzz/activity", 8 * MAX_POST_BYTES),
            (site.source_path, MAX_EVENT_BYTES + 1),
            (site.source_path, 2 * MAX_EVENT_BYTES),
        ]
        async with site.http(JANE) as http:
            for path, size in cases:
                for chunked in (False, True):
                    assert await refusal(http, path, size, chunked) == 413, (path, size, chunked)
                    assert (await http.get(HISTORY)).status == 200

    async def test_a_history_is_sent_at_the_speed_of_its_reader(self, site: Site) -> None:
        for slot in site.nodes:
            await slot.running.append(large_history(), each=10)
        async with site.unread(HISTORY, _READER) as reader:
            assert reader.status == 200
            await until(lambda: any(is_waiting(slot) for slot in site.nodes))
        await until(lambda: all(len(slot.node.sending) == 0 for slot in site.nodes))

    async def test_a_history_arrives_whole(self, site: Site) -> None:
        for slot in site.nodes:
            await slot.running.append([message(BOB, CAROL, text=text * 30_000) for text in ("x", "é", "\x01")])
        for coding in ("identity", "gzip"):
            answer = await site.get(HISTORY, CAROL, headers={"Accept-Encoding": coding})
            assert answer.headers.get("Content-Encoding", "identity") == coding
            assert [each["message"][0] for each in answer.json] == ["x", "é", "\x01"]

    # --- the proxy itself ---------------------------------------------------------------------------------------

    async def test_a_reload_leaves_sockets_open(self, site: Site) -> None:
        async with AsyncExitStack() as stack:
            before = await joined(stack, site, 0)
            await site.proxy.reload()
            after = await joined(stack, site, 1)
            assert (await site.get(HISTORY, JANE)).status == 200
            for opened in (before, after):
                await opened.alive()


# --- what the tests do with a site --------------------------------------------------------------------------------

_READER = CROWD[-1]
_SAY_HELLO = """token => new Promise(done => {
    const socket = new WebSocket(`wss://${location.host}/apps/buzz/socket`, "buzz.v1.json")
    socket.onopen = () => socket.send(JSON.stringify({type: "hello", token}))
    socket.onmessage = message => done(message.data)
    socket.onclose = event => done(JSON.stringify({type: "closed", code: event.code}))
})"""
_REMOTE_IPS = "SELECT remote_ip, other FROM web_form_session"
_WAITED_SECONDS = 0.3


def claiming(number: int) -> dict[str, str]:
    """Return headers in which a client claims another address each time."""
    return {**CLAIMS, "X-Forwarded-For": f"203.0.113.{number}"}


async def joined(stack: AsyncExitStack, site: Site, number: int) -> Peer:
    """Open a session through the proxy, for one of the crowd, until the stack ends."""
    return await stack.enter_async_context(site.session(CROWD[number]))


async def fill(stack: AsyncExitStack, slot: Slot) -> None:
    """Open as many sessions at the node itself as it takes."""
    for person in CROWD[100 : 100 + MAX_SESSIONS]:
        await stack.enter_async_context(slot.session(person))


def large_history() -> list[Posting]:
    """Return a history of 16 MB on the wire: the kernel keeps up to four for a proxy that reads fast at first."""
    return [message(BOB, _READER, text="\x01" * 65_536) for _ in range(40)]


def is_waiting(slot: Slot) -> bool:
    """Whether the node has an answer that its reader does not take."""
    sending = slot.node.sending
    began = [each.waiting_since for each in sending._under_way if each.waiting_since is not None]
    return any(sending.now() - since > _WAITED_SECONDS for since in began)


def signed(recording_bytes: int) -> dict[str, Any]:
    """Return a voicemail's event with a recording of this size in base64, as another service signs it."""
    now = str(wall_clock_ms())
    digest = hmac.new(SOURCE_KEY.encode(), f"{now}token".encode(), hashlib.sha256).hexdigest()
    recording = b"\xff\xfb\x90\x64" + bytes(recording_bytes * 3 // 4)
    session = {**VOICEMAIL["call_session"], "mp3_encoded_bytes": base64.b64encode(recording).decode()}  # type: ignore[dict-item]
    proof = {"random_token": "token", "timestamp": now, "signature": digest}
    return {**VOICEMAIL, "call_session": session, "signature": proof}


async def refusal(http: Http, path: str, size: int, chunked: bool) -> int:
    """Return the status for a body of this size, with or without a Content-Length."""

    async def pieces() -> Any:
        for start in range(0, size, 65_536):
            yield b" " * min(65_536, size - start)

    body = pieces() if chunked else io.BytesIO(b" " * size)
    return (await http("POST", path, data=body, headers=AS_JSON)).status
