"""What a company's members, and the operator, do with requests; and that nobody else sees them."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from tests.fakes.privacy_buzz import ACME, BOB, EVE, JANE, OTHER, Buzz, event
from tests.fakes.webhook_receiver import Receiver

PATH = "/apps/buzz/privacy-requests"


async def listed(buzz: Buzz, person: int = JANE, **query: str) -> Any:
    status, answer = await buzz.ask("GET", PATH, buzz.person(person), params=query)
    assert status == 200, answer
    return answer


async def test_members_are_told_live_and_see_the_request(buzz: Buzz) -> None:
    async with buzz.live(JANE) as jane, buzz.live(BOB) as bob, buzz.live(EVE) as eve:
        made = await buzz.submit()
        for socket in (jane, bob):
            name, data = await event(socket)
            assert (name, data["id"], data["deadline"]) == ("privacy_request.received", made, "2020-04-28")
        await buzz.service_code("2", OTHER, "theirs")
        others = await buzz.submit("2")
        assert (await event(eve))[1]["id"] == others, "the first event Eve hears is her own company's"
    assert [one["id"] for one in await listed(buzz)] == [made]
    assert [one["id"] for one in await listed(buzz, EVE)] == [others]
    (shown,) = await listed(buzz, BOB)
    assert (shown["confirmation_due"], shown["opt_out_due"]) == ("2020-03-27", "2020-04-03")
    assert shown["web_form_session"]["first_name"] == "Julian"


async def test_a_member_acknowledges_extends_and_completes(buzz: Buzz) -> None:
    made = await buzz.submit()
    buzz.clock.advance(60)
    async with buzz.live(BOB) as bob:
        status, shown = await buzz.ask(
            "PATCH", f"{PATH}/{made}", buzz.person(JANE), json={"acknowledged": True, "extended": True}
        )
        assert status == 200
        assert (shown["acknowledged"], shown["extended"], shown["completed"]) == (True, True, False)
        assert (shown["deadline"], shown["updated_at"]) == ("2020-06-12", "2020-03-14T18:45:40Z")
        assert await event(bob) == ("privacy_request.updated", shown)
        await buzz.ask("PATCH", f"{PATH}/{made}", buzz.person(JANE), json={"acknowledged": True})
        await buzz.ask_admin("PATCH", f"/admin/privacy-requests/{made}", {"completed": True})
        assert (await event(bob))[1]["completed"] is True, "what changed nothing was not told"
    trail = (await buzz.ask_admin("GET", f"/admin/privacy-requests/{made}"))["audit"]
    assert [(one["actor"], one["action"], one["detail"]) for one in trail] == [
        ("consumer", "received", "by web form"),
        (f"person:{JANE}", "changed", "acknowledged: true, extended: true"),
        ("admin:service:test", "changed", "completed: true"),
    ]


async def test_a_request_is_extended_within_its_first_45_days_only(buzz: Buzz) -> None:
    made = await buzz.submit()
    buzz.clock.advance(45 * 86_400)
    status, shown = await buzz.ask("PATCH", f"{PATH}/{made}", buzz.person(JANE), json={"extended": True})
    assert (status, shown["deadline"]) == (200, "2020-06-12"), "the last day counts"
    late = await buzz.submit()
    buzz.clock.advance(46 * 86_400)
    status, refused = await buzz.ask("PATCH", f"{PATH}/{late}", buzz.person(JANE), json={"extended": True})
    assert status == 409
    assert "in its first 45 days; these ended on 2020-06-12" in refused["error"]["message"]
    status, shown = await buzz.ask("PATCH", f"{PATH}/{late}", buzz.person(JANE), json={"extended": False})
    assert (status, shown["extended"]) == (200, False)
    status, shown = await buzz.ask("PATCH", f"{PATH}/{made}", buzz.person(JANE), json={"extended": True})
    assert (status, shown["extended"]) == (200, True), "what is extended already is no change"


async def test_a_form_says_itself_whether_it_is_an_opt_out(buzz: Buzz) -> None:
    made = await buzz.submit(do_not_sell="false", tell_me="true")
    status, refused = await buzz.ask("PATCH", f"{PATH}/{made}", buzz.person(JANE), json={"do_not_sell": True})
    assert (status, refused["error"]["code"]) == (409, "409")
    assert (await buzz.ask("GET", f"{PATH}/{made}", buzz.person(JANE)))[1]["opt_out_due"] is None


async def test_others_and_strangers_see_and_change_nothing(buzz: Buzz) -> None:
    made = await buzz.submit()
    for path in (f"{PATH}/{made}", f"{PATH}/{made}/recording.mp3", f"{PATH}/none"):
        assert (await buzz.ask("GET", path, buzz.person(EVE)))[0] == 404
        assert (await buzz.ask("GET", path))[0] == 401
    assert (await buzz.ask("GET", f"{PATH}/{made}/recording.mp3", buzz.person(JANE)))[0] == 404
    for method, path in (("PATCH", f"{PATH}/{made}"), ("PATCH", f"{PATH}/none")):
        assert (await buzz.ask(method, path, buzz.person(EVE), json={"completed": True}))[0] == 404
    assert (await buzz.ask("GET", PATH))[0] == 401
    for method, path in (
        ("GET", "/admin/privacy-requests"),
        ("PATCH", f"/admin/privacy-requests/{made}"),
        ("POST", f"/admin/privacy-requests/{made}/erase"),
        ("POST", "/admin/service-codes"),
        ("GET", "/admin/webhook-endpoints"),
        ("POST", "/admin/webhook-sources"),
        ("GET", "/admin/webhook-deliveries"),
    ):
        assert (await buzz.ask(method, path))[0] == 401
        assert (await buzz.ask(method, path, buzz.person(JANE), json={}))[0] == 403
    assert (await buzz.ask_admin("GET", f"/admin/privacy-requests/{made}"))["completed"] is False


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"acknowledged": "true"}, "Invalid parameter: 'acknowledged'"),
        ({"done": True}, "Unknown parameter: 'done'"),
        ([], "should be a JSON object"),
    ],
)
async def test_a_change_that_does_not_fit_is_refused(buzz: Buzz, body: object, message: str) -> None:
    made = await buzz.submit()
    status, answer = await buzz.ask("PATCH", f"{PATH}/{made}", buzz.person(JANE), json=body)
    assert status == 400
    assert message in answer["error"]["message"]


async def test_the_list_goes_on_from_a_time_and_in_pages(buzz: Buzz) -> None:
    made = []
    for number in range(5):
        made.append(await buzz.submit(first_name=f"N{number}"))
        buzz.clock.advance(10)
    assert [one["id"] for one in await listed(buzz)] == made
    since = (await listed(buzz))[2]["updated_at"]
    assert [one["id"] for one in await listed(buzz, since=since)] == made[2:], "the moment itself is included"
    seen, path = [], f"{PATH}?limit=2&since={since}"
    while path:
        async with buzz.client.get(path, headers=buzz.person(JANE)) as response:
            seen += [one["id"] for one in await response.json()]
            path = str(response.links["next"]["url"].relative()) if response.links else ""
    assert seen == made[2:]
    await buzz.ask("PATCH", f"{PATH}/{made[0]}", buzz.person(JANE), json={"acknowledged": True})
    assert [one["id"] for one in await listed(buzz)] == [*made[1:], made[0]], "by time of change"
    for query in (
        {"since": "yesterday"},
        {"since": "2020-03-14T18:44:40"},
        {"limit": "0"},
        {"cursor": "x"},
        {"a": "b"},
    ):
        assert (await buzz.ask("GET", PATH, buzz.person(JANE), params=query))[0] == 400


async def test_erasure_takes_the_person_out_and_leaves_the_outcome(buzz: Buzz) -> None:
    made = await buzz.submit(other="call me on 555 0100")
    await buzz.ask("PATCH", f"{PATH}/{made}", buzz.person(JANE), json={"completed": True})
    async with buzz.live(JANE) as jane:
        erased = await buzz.ask_admin("POST", f"/admin/privacy-requests/{made}/erase")
        assert (await event(jane))[0] == "privacy_request.updated"
    session = erased["web_form_session"]
    assert [session[name] for name in ("first_name", "last_name", "email", "other", "remote_ip")] == [""] * 5
    assert (session["do_not_sell"], erased["completed"], erased["erased_at"]) == (True, True, "2020-03-14T18:44:40Z")
    trail = (await buzz.ask_admin("GET", f"/admin/privacy-requests/{made}"))["audit"]
    assert [one["action"] for one in trail] == ["received", "changed", "erased"]
    await buzz.ask_admin("POST", f"/admin/privacy-requests/{made}/erase")
    assert len((await buzz.ask_admin("GET", f"/admin/privacy-requests/{made}"))["audit"]) == 3


async def test_erasure_empties_what_receivers_answered(buzz: Buzz, receiver: Receiver) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=f"stored {(await request.post())['web_form_session[first_name]']}")

    receiver.behave = echo
    await buzz.endpoint(receiver.url)
    made, other = await buzz.submit(first_name="Julian"), await buzz.submit(first_name="Mary")
    assert {one["answer"] for one in await buzz.settled()} == {"stored Julian", "stored Mary"}
    await buzz.ask_admin("POST", f"/admin/privacy-requests/{made}/erase")
    log = await buzz.settled()
    assert [(one["answer"], one["http_status"]) for one in log if one["request_id"] == made] == [
        ("stored ", 200),
        ("", 200),
    ]
    assert [one["answer"] for one in log if one["request_id"] == other] == ["stored Mary"]


async def test_service_codes_in_the_operators_hands(buzz: Buzz) -> None:
    await buzz.service_code("9", OTHER, "theirs")
    assert [one["code"] for one in await buzz.ask_admin("GET", "/admin/service-codes")] == ["57", "9"]
    assert (await buzz.ask("DELETE", "/admin/service-codes/9", buzz.admin))[0] == 204
    assert (await buzz.ask("DELETE", "/admin/service-codes/9", buzz.admin))[0] == 404
    assert (await buzz.ask("GET", "/privacy-requests/9"))[0] == 404
    for body in ({"code": "a b", "name": "x", "company_id": 1}, {"code": "1", "name": "", "company_id": 1}, {}):
        assert (await buzz.ask("POST", "/admin/service-codes", buzz.admin, json=body))[0] == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/admin/service-codes", {"code": "9", "name": "x"}),
        ("/admin/webhook-endpoints", {"url": "http://127.0.0.1/hook"}),
        ("/admin/webhook-sources", {"api_key": "key"}),
    ],
)
async def test_nothing_is_made_for_a_company_that_is_not_there(buzz: Buzz, path: str, body: dict[str, Any]) -> None:
    before = await buzz.ask_admin("GET", path)
    status, answer = await buzz.ask("POST", path, buzz.admin, json={**body, "company_id": 999})
    assert (status, answer["error"]["message"]) == (404, "Not Found: there is no company 999 in the directory.")
    assert await buzz.ask_admin("GET", path) == before
    status, _ = await buzz.ask("POST", path, buzz.admin, json={**body, "company_id": ACME})
    assert status == 201
