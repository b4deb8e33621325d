"""The hosted form: as a browser uses it, as a program does, and what each is told when something does not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest
from aiohttp import FormData
from defusedxml.ElementTree import fromstring

from tests.fakes.privacy_buzz import ACME, FORM, JANE, Buzz, Clock, event, open_buzz
from tests.fakes.webhook_receiver import Receiver

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
PATH = "/privacy-requests/57"


def as_xml(page: str) -> Element:
    """The page, read by an XML parser once its void elements are closed: well-formedness is checked with it."""
    closed = re.sub(r"<(meta|input)\b([^>]*)>", r"<\1\2/>", page.removeprefix("<!doctype html>\n"))
    closed = re.sub(r" (required|checked|selected|novalidate)(?=[ />])", r' \1=""', closed)
    return fromstring(closed)  # type: ignore[no-any-return]


def value_of(page: Element, name: str) -> str:
    return next(field.get("value", "") for field in page.iter("input") if field.get("name") == name)


async def submitted(buzz: Buzz, **changes: str) -> tuple[int, str]:
    return await buzz.ask("POST", PATH, BROWSER, data={**FORM, **changes})


async def test_the_page_has_a_labelled_field_for_everything_and_no_script(buzz: Buzz) -> None:
    async with buzz.client.get(PATH, headers=BROWSER) as response:
        assert response.status == 200
        assert response.headers["Content-Security-Policy"].startswith("style-src 'sha256-")
        page = as_xml(await response.text())
    assert "script" not in {element.tag for element in page.iter()}
    assert page.get("lang") == "en"
    fields = [one for one in page.iter() if one.tag in ("input", "select", "textarea") and one.get("type") != "hidden"]
    assert {one.get("name") for one in fields} == {*FORM, "leave_empty"}
    labels = {label.get("for") for label in page.iter("label")}
    wrapped = {one.get("id") for label in page.iter("label") for one in label.iter("input")}
    assert all(one.get("id") in labels | wrapped for one in fields)


async def test_a_browser_is_shown_a_reference_and_the_deadline(buzz: Buzz) -> None:
    status, text = await submitted(buzz, do_not_sell="on")
    assert status == 201
    page = as_xml(text)
    (reference,) = [code.text for code in page.iter("code")]
    assert reference is not None
    made = await buzz.ask_admin("GET", f"/admin/privacy-requests/{reference}")
    assert (made["company_id"], made["type"], made["deadline"]) == (ACME, "WebForm", "2020-04-28")
    assert "April 28, 2020" in text
    session = made["web_form_session"]
    assert {name: session[name] for name in ("first_name", "state", "do_not_sell", "tell_me", "remote_ip")} == {
        "first_name": "Julian",
        "state": "DE",
        "do_not_sell": True,
        "tell_me": False,
        "remote_ip": "127.0.0.1",
    }
    assert [(one["actor"], one["action"]) for one in made["audit"]] == [("consumer", "received")]


async def test_a_program_sends_json_or_multipart_and_is_told_the_id(buzz: Buzz) -> None:
    as_json = await buzz.ask("POST", PATH, json={**FORM, "do_not_sell": True})
    multipart = FormData(default_to_multipart=True)
    for name, value in FORM.items():
        multipart.add_field(name, value)
    as_multipart = await buzz.ask("POST", PATH, data=multipart)
    assert [status for status, _ in (as_json, as_multipart)] == [201, 201]
    assert as_json[1]["id"] != as_multipart[1]["id"]


async def test_what_does_not_fit_comes_back_filled_in_with_the_fault_named(buzz: Buzz) -> None:
    status, text = await submitted(buzz, email="nobody", first_name='<b>"Julian"</b>', other="a & b")
    assert status == 400
    page = as_xml(text)
    assert value_of(page, "first_name") == '<b>"Julian"</b>'
    assert next(page.iter("textarea")).text == "a & b"
    assert [one.get("id") for one in page.iter("input") if one.get("aria-invalid") == "true"] == ["email"]
    fault = next(one for one in page.iter("p") if one.get("id") == "email-fault")
    assert fault.text == "Email should be an email address such as name@example.com"
    assert any(one.get("role") == "alert" for one in page.iter("div"))
    selected = [one.get("value") for one in page.iter("option") if one.get("selected") is not None]
    assert selected == ["DE", "Job Applicant"]
    checked = [one.get("name") for one in page.iter("input") if one.get("checked") is not None]
    assert checked == ["do_not_sell"]
    assert await buzz.ask_admin("GET", "/admin/privacy-requests") == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({**FORM, "email": "x"}, "Invalid parameter: 'email': should be an email address such as name@example.com"),
        ({"first_name": "J"}, "Missing required parameter: 'last_name'"),
        ({**FORM, "do_not_sell": "false"}, "Missing required parameter: one of"),
        ({**FORM, "colour": "red"}, "Unknown parameter: 'colour'"),
        ({**FORM, "other": {"a": {"b": {"c": {"d": "x"}}}}}, "deeper than 3"),
        ({**FORM, "other": 7}, "Invalid parameter: 'other': should be a string"),
        ([], "Invalid parameter: 'body': should be an object"),
    ],
)
async def test_a_program_is_told_what_does_not_fit(buzz: Buzz, body: object, message: str) -> None:
    status, answer = await buzz.ask("POST", PATH, json=body)
    assert status == 400
    assert answer["error"]["code"] == "400"
    assert message in answer["error"]["message"]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b'{"first_name": "\xff"}', 400),
        ("application/json", b'{"first_name": "\\ud800"}', 400),
        ("application/json", b"[" * 50_000, 400),
        ("application/x-www-form-urlencoded", b"first_name=%FF", 400),
        ("application/x-www-form-urlencoded", b"&".join(b"f%d=" % n for n in range(5_000)), 400),
        ("application/x-www-form-urlencoded", b"first_name=a&first_name=b", 400),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1', 400),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data", b"--x--", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Encoding: gzip\r\n\r\n1\r\n--x--\r\n", 400),
        ("text/plain", b"hello", 415),
        ("application/json", b'{"other": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
async def test_a_body_that_can_not_be_read_is_refused(buzz: Buzz, content_type: str, body: bytes, status: int) -> None:
    answered, answer = await buzz.ask("POST", PATH, {"Content-Type": content_type}, data=body)
    assert (answered, answer["error"]["code"]) == (status, str(status))
    assert await buzz.ask_admin("GET", "/admin/privacy-requests") == []


async def test_an_unknown_code_is_not_found(buzz: Buzz) -> None:
    for method in ("GET", "POST"):
        status, answer = await buzz.ask(method, "/privacy-requests/58", **({"json": FORM} if method == "POST" else {}))
        assert (status, answer["error"]["code"]) == (404, "404")
        status, text = await buzz.ask(method, "/privacy-requests/58", BROWSER, data=FORM if method == "POST" else None)
        assert status == 404
        assert "there is no such service code" in text


async def test_a_form_whose_trap_is_filled_in_is_kept_told_and_marked(buzz: Buzz, receiver: Receiver) -> None:
    """A password manager may have filled it in: a request by law is never dropped."""
    await buzz.endpoint(receiver.url)
    async with buzz.live(JANE) as socket:
        status, text = await submitted(buzz, leave_empty="https://spam.example")
        assert status == 201
        (reference,) = [code.text for code in as_xml(text).iter("code")]
        name, told = await event(socket)
    assert (name, told["id"], told["web_form_session"]["suspected_spam"]) == (
        "privacy_request.received",
        reference,
        True,
    )
    assert [each["id"] for each in await receiver.wait_for(1)] == [reference]
    made = await buzz.ask_admin("GET", f"/admin/privacy-requests/{reference}")
    assert made["web_form_session"]["suspected_spam"] is True
    assert [entry["detail"] for entry in made["audit"]] == [
        "by web form, with a field filled in that people do not see"
    ]
    assert "spam.example" not in json.dumps(made), "what was written into it is of no use to anybody"


async def test_the_trap_of_a_page_that_was_opened_before_still_works(buzz: Buzz) -> None:
    for website in ("", "x"):
        request_id = await buzz.submit(website=website)
        made = await buzz.ask_admin("GET", f"/admin/privacy-requests/{request_id}")
        assert made["web_form_session"]["suspected_spam"] is (website != "")


async def test_the_trap_is_no_part_of_the_described_interface(buzz: Buzz) -> None:
    _, described = await buzz.ask("GET", "/openapi.json")
    fields = described["components"]["schemas"]["WebForm"]["properties"]
    assert "submission" in fields
    assert not {"leave_empty", "website"} & set(fields)


async def test_a_form_that_is_sent_twice_is_one_request_and_a_corrected_one_is_another(buzz: Buzz) -> None:
    _, text = await buzz.ask("GET", PATH, BROWSER)
    submission = value_of(as_xml(text), "submission")
    first, again = [await buzz.submit(submission=submission) for _ in range(2)]
    corrected = await buzz.submit(submission=submission, first_name="Julia")
    assert first == again != corrected
    assert len(await buzz.ask_admin("GET", "/admin/privacy-requests")) == 2


async def test_one_address_can_not_send_forms_without_end(data_dir: Path, clock: Clock) -> None:
    async with open_buzz(data_dir, clock, privacy_forms_per_minute=3, trusted_hops=1) as buzz:

        async def send(forwarded: str) -> tuple[int, str | None]:
            headers = {"X-Forwarded-For": forwarded}
            async with buzz.client.post(PATH, json=FORM, headers=headers) as response:
                return response.status, response.headers.get("Retry-After")

        assert [(await send("203.0.113.9"))[0] for _ in range(3)] == [201] * 3
        status, retry_after = await send("1.2.3.4, 203.0.113.9")
        assert status == 429
        assert retry_after is not None
        assert 1 <= int(retry_after) <= 20
        assert (await send("203.0.113.10"))[0] == 201
        assert [(await send(f"2001:db8::{n}"))[0] for n in range(1, 5)] == [201, 201, 201, 429], "one /64 is one"
        made = await buzz.ask_admin("GET", "/admin/privacy-requests")
        addresses = {one["web_form_session"]["remote_ip"] for one in made}
        assert {"203.0.113.9", "203.0.113.10", "2001:db8::1"} <= addresses
