"""Twilio's signature: its known answers, its own library as the oracle, and every way to get it wrong."""

from __future__ import annotations

import hashlib
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from protocol.twilio_signature import is_genuine, port_variants, public_url, sign

TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
    ("Caller", "+14158675309"),
]
LOOKUP = (
    "https://buzz.example/apps/buzz/trust-lookup"
    "?number_code=1&number=2385551629&inbound_code=1&inbound=9876543210&caller_id=%2B12385551629"
)
BODY = b'{"property": "value", "boolean": true}'
BODY_URL = f"{URL}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"


def test_known_answers() -> None:
    assert sign(TOKEN, URL, FORM) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert sign(TOKEN, URL) == "zYQTYrRWXE7LtzbG4PfP7/bkkGo="
    assert sign(TOKEN, LOOKUP) == "mmI++7AEZ1drp6nAWxDg/QUdytY="
    assert sign(TOKEN, BODY_URL) == "a9nBmqA0ju/hNViExpshrM61xv4="


def test_known_requests_are_genuine() -> None:
    assert is_genuine(TOKEN, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", URL, form=FORM)
    assert is_genuine(TOKEN, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", URL, form=reversed(FORM))
    assert is_genuine(TOKEN, "zYQTYrRWXE7LtzbG4PfP7/bkkGo=", URL)
    assert is_genuine(TOKEN, "mmI++7AEZ1drp6nAWxDg/QUdytY=", LOOKUP)
    assert is_genuine(TOKEN, "a9nBmqA0ju/hNViExpshrM61xv4=", BODY_URL, body=BODY)


@pytest.mark.parametrize(
    "signature", [None, "", "x", "zYQTYrRWXE7LtzbG4PfP7/bkkGo", "zyqtyrrwxe7ltzbg4pfp7/bkkgo=", "é", "\udcff"]
)
def test_a_missing_or_wrong_signature_is_refused(signature: str | None) -> None:
    assert not is_genuine(TOKEN, signature, URL)


def test_what_was_signed_is_what_is_checked() -> None:
    good = sign(TOKEN, LOOKUP)
    assert not is_genuine(TOKEN, good, LOOKUP.replace("%2B", "+"))
    assert not is_genuine(TOKEN, good, LOOKUP.replace("inbound=9", "inbound=8"))
    assert not is_genuine(TOKEN, good, LOOKUP.replace("https", "http"))
    assert not is_genuine("another", good, LOOKUP)
    assert not is_genuine(TOKEN, sign(TOKEN, URL, FORM), URL, form=FORM[:-1])


def test_without_a_configured_token_nothing_is_genuine() -> None:
    assert not is_genuine("", sign("", URL), URL)


def test_a_body_must_agree_with_its_hash() -> None:
    good = sign(TOKEN, BODY_URL)
    assert not is_genuine(TOKEN, good, BODY_URL, body=BODY + b" ")
    assert not is_genuine(TOKEN, sign(TOKEN, URL), URL, body=BODY)  # no hash: nothing covers the body
    assert is_genuine(TOKEN, sign(TOKEN, URL), URL, body=b"")


def test_the_default_port_may_be_written_or_not() -> None:
    assert is_genuine(TOKEN, sign(TOKEN, "https://buzz.example:443/a?b=c"), "https://buzz.example/a?b=c")
    assert is_genuine(TOKEN, sign(TOKEN, "https://buzz.example/a?b=c"), "https://buzz.example:443/a?b=c")
    assert is_genuine(TOKEN, sign(TOKEN, "http://buzz.example:80/a"), "http://buzz.example/a")
    assert not is_genuine(TOKEN, sign(TOKEN, "https://buzz.example:80/a"), "https://buzz.example/a")


@pytest.mark.parametrize(
    ("url", "variants"),
    [
        ("https://[::1]/a:5", ("https://[::1]/a:5", "https://[::1]:443/a:5")),
        ("https://[::1]:8443/a", ("https://[::1]/a", "https://[::1]:8443/a")),
        ("https://b.example?x=1:2", ("https://b.example?x=1:2", "https://b.example:443?x=1:2")),
        ("https://b.example", ("https://b.example", "https://b.example:443")),
    ],
)
def test_port_variants_touch_the_port_alone(url: str, variants: tuple[str, str]) -> None:
    assert port_variants(url) == variants


def test_the_public_url_is_the_base_and_the_raw_rest() -> None:
    assert public_url("https://buzz.example/", "/a%20b?c=%2B1") == "https://buzz.example/a%20b?c=%2B1"


pairs = st.lists(st.tuples(st.text(max_size=8), st.text(max_size=12)), max_size=8)
queries = st.lists(st.tuples(st.text(alphabet="abcxyz", min_size=1, max_size=5), st.text(max_size=8)), max_size=4)
bases = st.sampled_from(
    ["https://buzz.example", "https://buzz.example:443", "https://b.example:8443", "http://b.example"]
)


@given(bases, queries, pairs, st.text(min_size=1, max_size=20))
def test_twilios_library_agrees_on_forms(
    base: str, query: list[tuple[str, str]], form: list[tuple[str, str]], token: str
) -> None:
    url = public_url(base, "/twilio/voice" + (f"?{urlencode(query)}" if query else ""))
    oracle = RequestValidator(token)
    signature = oracle.compute_signature(url, MultiDict(form))
    assert sign(token, url, form) == signature
    assert is_genuine(token, signature, url, form=form)
    changed = [*form, ("Zone", "1")]
    assert is_genuine(token, signature, url, form=changed) == oracle.validate(url, MultiDict(changed), signature)


@given(bases, st.text(max_size=40), st.booleans())
def test_twilios_library_agrees_on_json(base: str, body: str, spoilt: bool) -> None:
    claimed = hashlib.sha256(body.encode()).hexdigest()
    url = public_url(base, f"/a?bodySHA256={claimed}")
    signature = RequestValidator(TOKEN).compute_signature(url, {})
    sent = body + "x" if spoilt else body
    expected = RequestValidator(TOKEN).validate(url, sent, signature)
    assert is_genuine(TOKEN, signature, url, body=sent.encode()) == expected
