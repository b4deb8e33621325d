"""The two signatures that webhooks carry: known answers, rotation, and everything that must not verify."""

from __future__ import annotations

import pytest

from protocol import privacy_signature, standard_webhooks
from protocol.privacy_signature import EventSignature

KNOWN = EventSignature("abc", "1700000000000", "d83772f2825bc355f17ee620c6331ffca265149ac1d8426f03875c68050b95dc")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIME = 1614265330
BODY = b'{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_known_answer_of_the_event_signature() -> None:
    assert privacy_signature.sign("api_key", 1_700_000_000_000, "abc") == KNOWN
    assert privacy_signature.is_signed(KNOWN, ["api_key"])


@pytest.mark.parametrize(
    ("signature", "keys"),
    [
        (KNOWN, ["another"]),
        (KNOWN, []),
        (KNOWN._replace(random_token="abd"), ["api_key"]),
        (KNOWN._replace(timestamp="1700000000001"), ["api_key"]),
        (KNOWN._replace(signature=""), ["api_key"]),
        (KNOWN._replace(signature="é" * 64), ["api_key"]),
        (EventSignature("", "", ""), ["api_key"]),
    ],
)
def test_an_event_signature_that_does_not_verify(signature: EventSignature, keys: list[str]) -> None:
    assert not privacy_signature.is_signed(signature, keys)


def test_while_keys_rotate_either_verifies() -> None:
    assert privacy_signature.is_signed(KNOWN, ["new", "api_key"])


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [("1700000000000", 1_700_000_000_000), ("", None), ("-1", None), ("1e9", None), ("٣", None), ("9" * 16, None)],
)
def test_the_signatures_time(timestamp: str, expected: int | None) -> None:
    assert privacy_signature.timestamp_ms(KNOWN._replace(timestamp=timestamp)) == expected


def test_the_known_answer_of_standard_webhooks() -> None:
    headers = standard_webhooks.headers([SECRET], ID, TIME, BODY)
    assert headers == {"webhook-id": ID, "webhook-timestamp": str(TIME), "webhook-signature": SIGNED}
    assert standard_webhooks.is_signed([SECRET], headers, BODY)


def test_while_secrets_rotate_both_sign_and_either_verifies() -> None:
    newer = standard_webhooks.secret_of(bytes(32))
    headers = standard_webhooks.headers([newer, SECRET], ID, TIME, BODY)
    assert standard_webhooks.is_signed([SECRET], headers, BODY)
    assert standard_webhooks.is_signed([newer], headers, BODY)


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({"webhook-signature": "v1,AAAA"}, BODY),
        ({"webhook-signature": SIGNED.replace("v1,", "v2,")}, BODY),
        ({"webhook-signature": "\udcff"}, BODY),
        ({"webhook-signature": ""}, BODY),
        ({"webhook-id": ""}, BODY),
        ({"webhook-id": "msg_other"}, BODY),
        ({"webhook-timestamp": "1614265331"}, BODY),
        ({}, BODY + b" "),
    ],
)
def test_standard_webhooks_headers_that_do_not_verify(change: dict[str, str], body: bytes) -> None:
    given = {**standard_webhooks.headers([SECRET], ID, TIME, BODY), **change}
    assert not standard_webhooks.is_signed([SECRET], given, body)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "whsec_AAAA", SECRET.removeprefix("whsec_"), "whsec_é"])
def test_a_secret_of_the_wrong_form_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        standard_webhooks.key_of(secret)
