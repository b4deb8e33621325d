"""Web Push's encryption and identification, against the examples of RFC 8291 and RFC 8292."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from protocol.push import PAYLOAD_BYTES, WakeFor, base64url, payload
from server.push.encryption import encrypt
from server.push.vapid import TOKEN_SECONDS, PushKeyError, Vapid, load_vapid
from server.push.webpush import origin
from tests.fakes.push_service import Subscription, bytes_of, text_of

# RFC 8291, section 5 and appendix A.
TEXT = b"When I grow up, I want to be a watermelon"
SENDER = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
RECEIVER = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
AUTH, SALT = "BTBZMqHH6r4Tts7J_aSIgg", "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
    "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)
# RFC 8292, section 2.4.
TOKEN = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1"
    "haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA"
)
KEY = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"


def private(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(bytes_of(text), "big"), ec.SECP256R1())


def test_the_example_of_rfc_8291_is_made_to_the_byte() -> None:
    made = encrypt(TEXT, base64url(P256DH), base64url(AUTH), sender=private(SENDER), salt=base64url(SALT))
    assert text_of(made) == BODY


def test_the_played_receiver_reads_the_example_too() -> None:
    receiver = Subscription("https://push.example/1", private(RECEIVER), bytes_of(AUTH))
    assert receiver.decrypt(bytes_of(BODY)) == TEXT


def test_each_message_has_keys_of_its_own_and_every_wake_up_one_size() -> None:
    receiver = Subscription("https://push.example/1")
    bodies = [encrypt(payload(wake), receiver.p256dh, receiver.auth) for wake in WakeFor for _ in range(2)]
    assert len({body[:86] for body in bodies}) == len(bodies)
    assert len({len(body) for body in bodies}) == 1
    assert len(receiver.decrypt(bodies[0])) == PAYLOAD_BYTES
    assert [json.loads(receiver.decrypt(body))["wake"] for body in bodies[::2]] == ["message", "call", "test"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Push.example.net/p/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV?x=1#y", "https://push.example.net"),
        ("https://push.example.net:443/p", "https://push.example.net"),
        ("https://push.example.net:8443/p", "https://push.example.net:8443"),
        ("https://push.example.net:80/p", "https://push.example.net:80"),
        ("http://127.0.0.1:80/p", "http://127.0.0.1"),
    ],
)
def test_the_audience_is_the_origin_of_the_push_service(url: str, expected: str) -> None:
    assert origin(url) == expected


def test_tokens_are_as_in_the_example_of_rfc_8292(tmp_path: Path) -> None:
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), base64url(KEY))
    given = jwt.decode(
        TOKEN, public, algorithms=["ES256"], audience="https://push.example.net", options={"verify_exp": False}
    )
    key = load_vapid(tmp_path / "vapid-key.pem", create=True)
    now = 1_453_523_768
    header = Vapid(key, given["sub"], lambda: now * 1_000).authorization("https://push.example.net")
    token, named = header.removeprefix("vapid t=").split(", k=")
    ours = jwt.decode(
        token, key.private.public_key(), algorithms=["ES256"], audience=given["aud"], options={"verify_exp": False}
    )
    assert (named, len(named)) == (key.public_key, len(KEY))
    assert ours == {**given, "exp": now + TOKEN_SECONDS}
    assert jwt.get_unverified_header(token) == jwt.get_unverified_header(TOKEN)


def test_a_token_is_used_for_an_hour_and_for_one_service(tmp_path: Path) -> None:
    now = [0]
    vapid = Vapid(load_vapid(tmp_path / "key.pem", create=True), "mailto:a@b.example", lambda: now[0])
    now[0] = 10_000_000
    first = vapid.authorization("https://a.example")
    assert vapid.authorization("https://a.example") == first != vapid.authorization("https://b.example")
    now[0] += 3_600_000
    assert vapid.authorization("https://a.example") != first


def test_the_key_of_development_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "vapid-key.pem"
    assert load_vapid(path, create=True).public_key == load_vapid(path, create=True).public_key
    assert os.stat(path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("what", ["missing", "text", "another kind"])
def test_a_key_that_can_not_be_used_is_explained(tmp_path: Path, what: str) -> None:
    path = tmp_path / "key.pem"
    if what == "text":
        path.write_text("no key")
    elif what == "another kind":
        path.write_bytes(
            rsa.generate_private_key(65_537, 2_048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    with pytest.raises(PushKeyError, match=r"VAPID key .*key\.pem"):
        load_vapid(path, create=False)
