"""The client's HTTP calls, against a server that answers as the routes do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from buzz_client import BuzzHttp, HttpError, Party, UnreadableAnswer
from buzz_client.address import Address
from buzz_client.tokens import Tokens
from tests.harness.client_activities import RAW


class Script:
    """Answers in turn, the last one for ever; remembers what was asked."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.asked: list[tuple[str, str, Any, dict[str, str]]] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path_qs, body, dict(request.headers)))
        answer = self.answers.pop(0)
        if not self.answers:
            self.answers.append(web.json_response(text=answer.text, status=answer.status, headers=_extra(answer)))
        return answer


def _extra(answer: web.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if not name.startswith("Content-")}


@pytest.fixture
async def script() -> Script:
    return Script()


@pytest.fixture
async def address(script: Script) -> AsyncIterator[Address]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    async with TestServer(app) as server:
        yield Address.parse(str(server.make_url("/")))


@pytest.fixture
async def http(address: Address) -> AsyncIterator[BuzzHttp]:
    async with BuzzHttp(address, Tokens("t")) as http:
        yield http


async def test_the_calls_ask_for_their_routes(http: BuzzHttp, script: Script) -> None:
    script.answers = [web.json_response({"members": [7], "more": False})]
    assert await http.company_members(3) == [7]
    script.answers = [web.json_response({"success": True, "data": {"id": 1}})]
    await http.me()
    await http.heartbeat()
    await http.blocked()
    assert await http.post_activity({"type": "chat_message"}, idempotency_key="k") == {"id": 1}
    await http.conversations()
    await http.set_encryption("h", "e")
    await http.encryption()
    await http.put_public_key("a2V5", "x25519", device_id="d")
    await http.public_keys(8)
    await http.privacy_request("u-1")
    await http.update_privacy_request("u-1", acknowledged=True)
    assert [(method, path, body) for method, path, body, _ in script.asked] == [
        ("GET", "/apps/buzz/companies/3/members", None),
        ("GET", "/apps/buzz/me", None),
        ("GET", "/apps/buzz/heartbeat", None),
        ("GET", "/apps/buzz/blocked", None),
        ("POST", "/apps/buzz/activity", {"type": "chat_message"}),
        ("GET", "/apps/buzz/conversations", None),
        ("PUT", "/apps/buzz/encryption", {"hash": "h", "e2e_id": "e"}),
        ("GET", "/apps/buzz/encryption", None),
        ("PUT", "/apps/buzz/public-key", {"public_key": "a2V5", "algorithm": "x25519", "device_id": "d"}),
        ("GET", "/apps/buzz/public-key/8", None),
        ("GET", "/apps/buzz/privacy-requests/u-1", None),
        ("PATCH", "/apps/buzz/privacy-requests/u-1", {"acknowledged": True}),
    ]
    assert {headers["Authorization"] for *_, headers in script.asked} == {"Bearer t"}
    assert script.asked[4][3]["Idempotency-Key"] == "k"


async def test_pages_follow_one_another(http: BuzzHttp, script: Script) -> None:
    more = {"Link": '<x>; rel="next"', "Buzz-Log-Epoch": "e"}
    script.answers = [
        web.json_response([RAW | {"id": 1}, RAW | {"id": 2}], headers=more),
        web.json_response([RAW | {"id": 3}]),
        web.json_response([RAW | {"id": 3}], headers={"Buzz-Log-Epoch": "e"}),
    ]
    assert [activity.id async for activity in http.history(party=Party("person", 8))] == [1, 2, 3]
    assert script.asked[1][1] == "/apps/buzz/activity/2?limit=500&party=person:8"
    page = await http.activities_before(9, limit=10)
    assert (page.activities[0].id, page.more, page.epoch) == (3, False, "e")
    assert script.asked[2][1] == "/apps/buzz/activity?before=9&limit=10"


async def test_an_export_comes_line_by_line_and_is_refused_if_it_was_cut_off(http: BuzzHttp, script: Script) -> None:
    whole = '{"kind": "person"}\n{"kind": "end", "lines": 1}\n'
    script.answers = [web.json_response({}, status=503, headers={"Retry-After": "0"}), web.Response(text=whole)]
    assert [line["kind"] async for line in http.export()] == ["person", "end"]
    for cut in ("", whole[:19], whole[:30]):
        script.answers = [web.Response(text=cut)]
        with pytest.raises(UnreadableAnswer, match="cut off"):
            assert [line["kind"] async for line in http.export()] == ["person"]


async def test_a_recording_comes_as_it_is(http: BuzzHttp, script: Script) -> None:
    script.answers = [web.Response(body=b"ID3\xff"), web.Response()]
    assert await http.recording("a/b") == b"ID3\xff"
    assert script.asked[0][1] == "/apps/buzz/privacy-requests/a%2Fb/recording.mp3"


async def test_all_privacy_requests_are_listed(http: BuzzHttp, script: Script) -> None:
    more = {"Link": '</apps/buzz/privacy-requests?cursor=15.u-1>; rel="next"'}
    script.answers = [web.json_response([{"id": "u-1"}], headers=more), web.json_response([{"id": "u-2"}])]
    found = [request["id"] async for request in http.privacy_requests(since="2024-07-05T12:14:45Z")]
    assert found == ["u-1", "u-2"]
    assert [path for _, path, *_ in script.asked] == [
        "/apps/buzz/privacy-requests?since=2024-07-05T12:14:45Z",
        "/apps/buzz/privacy-requests?cursor=15.u-1",
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": True, "message": "Missing required parameter: 'type'"}, "Missing required parameter: 'type'"),
        ({"error": {"code": "404", "message": "Not Found: no"}}, "Not Found: no"),
        (["?"], '["?"]'),
    ],
)
async def test_both_shapes_of_errors_are_read(http: BuzzHttp, script: Script, body: Any, message: str) -> None:
    script.answers = [web.json_response(body, status=400)]
    with pytest.raises(HttpError) as refused:
        await http.heartbeat()
    assert (refused.value.message, refused.value.status) == (message, 400)
    assert len(script.asked) == 1


async def test_a_busy_server_is_asked_again_with_the_same_key(http: BuzzHttp, script: Script) -> None:
    busy = {"error": {"code": "503", "message": "busy"}}
    script.answers = [
        web.json_response(busy, status=503, headers={"Retry-After": "0"}),
        web.json_response({"data": {}}),
    ]
    await http.post_activity({"type": "chat_message"})
    assert len({headers["Idempotency-Key"] for *_, headers in script.asked}) == 1
    assert len(script.asked) == 2


async def test_a_refused_token_is_renewed_once(address: Address, script: Script) -> None:
    script.answers = [web.json_response({}, status=401), web.json_response({"ok": 1})]
    tokens = iter(["a", "b", "c"])
    async with BuzzHttp(address, Tokens(lambda: next(tokens))) as http:
        assert await http.heartbeat() == {"ok": 1}
        assert [headers["Authorization"] for *_, headers in script.asked] == ["Bearer a", "Bearer b"]
        script.answers = [web.json_response({}, status=401)]
        with pytest.raises(HttpError):
            await http.heartbeat()
    assert len(script.asked) == 4


async def test_a_fixed_token_is_refused_at_once(http: BuzzHttp, script: Script) -> None:
    script.answers = [web.json_response({}, status=401)]
    with pytest.raises(HttpError):
        await http.heartbeat()
    assert len(script.asked) == 1


async def test_another_kind_of_server_is_noticed(http: BuzzHttp, script: Script) -> None:
    script.answers = [web.Response(text="<html>")]
    with pytest.raises(UnreadableAnswer):
        await http.heartbeat()
    script.answers = [web.json_response({"not": "a list"})]
    with pytest.raises(UnreadableAnswer):
        await http.activities_after(0)
