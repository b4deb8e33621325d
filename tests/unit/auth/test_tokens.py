"""Buzz's own tokens: made, read back, and refused in every way that one can be wrong. PyJWT is the oracle."""

from __future__ import annotations

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from server.auth.contract import Caller
from server.auth.refusals import BadToken, RefusalReason
from server.auth.signing_keys import KeyRing, SigningKey, encode_segment
from server.auth.tokens import MAX_TTL_SECONDS, is_own, mint_person, mint_service, person_of, read_own
from storage.accounts import Revocation

NOW_MS = 1_720_000_000_123


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return KeyRing.of([SigningKey.of(Ed25519PrivateKey.generate())])


def test_a_person_comes_back(ring: KeyRing) -> None:
    caller = read_own(ring, mint_person(ring, 456, 3_600, NOW_MS))
    assert (caller.subject, caller.person_id, caller.scopes) == ("person:456", 456, frozenset())
    assert caller.issued_at_ms == NOW_MS
    assert caller.expires_at_ms == 1_720_003_600_000


def test_a_service_comes_back_with_its_scope(ring: KeyRing) -> None:
    caller = read_own(ring, mint_service(ring, "twilio-functions", "lookup", 60, NOW_MS))
    assert (caller.subject, caller.person_id, caller.scopes) == (
        "service:twilio-functions",
        None,
        frozenset({"lookup"}),
    )


@pytest.mark.parametrize(("text", "reason"), [("a.b.c", RefusalReason.KEY), ("a.b", RefusalReason.MALFORMED)])
def test_a_token_of_another_key_has_three_parts(ring: KeyRing, text: str, reason: RefusalReason) -> None:
    with pytest.raises(BadToken) as refused:
        read_own(ring, text)
    assert refused.value.reason is reason


def test_every_token_has_an_id_of_its_own(ring: KeyRing) -> None:
    assert len({read_own(ring, mint_person(ring, 456, 60, NOW_MS)).token_id for _ in range(100)}) == 100


def test_another_library_reads_it_the_same(ring: KeyRing) -> None:
    token = mint_person(ring, 456, 3_600, NOW_MS)
    key = Ed25519PublicKey.from_public_bytes(ring.signing.public)
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="buzz", issuer="buzz", options={"verify_exp": False})
    assert (claims["sub"], claims["scope"], claims["exp"]) == ("person:456", "app", 1_720_003_600)
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": ring.signing.kid, "typ": "JWT"}


@pytest.mark.parametrize("ttl", [0, -1, MAX_TTL_SECONDS + 1])
def test_a_time_to_live_has_limits(ring: KeyRing, ttl: int) -> None:
    with pytest.raises(ValueError, match="a token is valid for"):
        mint_person(ring, 456, ttl, NOW_MS)


@pytest.mark.parametrize("person_id", [0, -1, 2**63])
def test_a_person_has_a_possible_id(ring: KeyRing, person_id: int) -> None:
    with pytest.raises(ValueError, match="id"):
        mint_person(ring, person_id, 60, NOW_MS)


@pytest.mark.parametrize(("name", "scope"), [("", "admin"), ("a b", "admin"), ("ä", "admin"), ("x", "app"), ("x", "")])
def test_a_service_has_a_name_and_a_known_scope(ring: KeyRing, name: str, scope: str) -> None:
    with pytest.raises(ValueError, match="service"):
        mint_service(ring, name, scope, 60, NOW_MS)


def forged(ring: KeyRing, **claims: object) -> str:
    """A token that our key signed, with other claims than ours ever are."""
    whole = {
        "iss": "buzz",
        "aud": "buzz",
        "sub": "person:456",
        "scope": "app",
        "jti": "a",
        "iat": 1,
        "exp": 2,
        **claims,
    }
    text = json.dumps({name: value for name, value in whole.items() if value is not None}).encode()
    signed = f"{ring.signing.header}.{encode_segment(text)}"
    return f"{signed}.{encode_segment(ring.signing.private.sign(signed.encode()))}"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "other"},
        {"aud": "other"},
        {"aud": ["buzz"]},
        {"aud": None},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": 1.5},
        {"sub": "456"},
        {"sub": "person:"},
        {"sub": "person:0"},
        {"sub": "person:-1"},
        {"sub": "person:٣"},
        {"sub": f"person:{2**63}"},
        {"sub": "company:1"},
        {"jti": None},
    ],
)
def test_claims_that_do_not_fit_are_refused(ring: KeyRing, claims: dict[str, object]) -> None:
    with pytest.raises(BadToken):
        read_own(ring, forged(ring, **claims))


def test_a_person_can_not_carry_a_services_scope(ring: KeyRing) -> None:
    assert read_own(ring, forged(ring, scope="admin lookup")).scopes == frozenset()


def test_an_unknown_scope_counts_for_nothing(ring: KeyRing) -> None:
    assert read_own(ring, forged(ring, sub="service:x", scope="root admin")).scopes == {"admin"}


def segments(token: str) -> tuple[str, str, str]:
    header, payload, signature = token.split(".")
    return header, payload, signature


def test_tampering_is_found(ring: KeyRing) -> None:
    header, payload, signature = segments(mint_person(ring, 456, 60, NOW_MS))
    other = encode_segment(base64.urlsafe_b64decode(payload + "==").replace(b"456", b"457"))
    for token in (
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}..{signature}",
        f".{payload}.{signature}",
        f"{header}.{payload}.{signature}.",
        f"{header}.{payload}.{signature}=",
        f"{header}.{payload}.{signature}\n",
        f" {header}.{payload}.{signature}",
        f"{header}.{payload}é.{signature}",
        "",
        "..",
        "not a token",
    ):
        with pytest.raises(BadToken):
            read_own(ring, token)


def test_the_token_does_not_choose_its_algorithm(ring: KeyRing) -> None:
    _, payload, signature = segments(mint_person(ring, 456, 60, NOW_MS))
    for header in ('{"alg":"none"}', f'{{"alg":"HS256","kid":"{ring.signing.kid}"}}'):
        token = f"{encode_segment(header.encode())}.{payload}.{signature}"
        assert not is_own(ring, token)
        with pytest.raises(BadToken):
            read_own(ring, token)


def test_the_other_spellings_of_a_signature_are_no_further_tokens(ring: KeyRing) -> None:
    # 64 bytes leave four unused bits in the last of 86 characters: sixteen spellings, of which one is ours.
    token = mint_person(ring, 456, 60, NOW_MS)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    taken = []
    for character in alphabet:
        try:
            read_own(ring, token[:-1] + character)
        except BadToken:
            continue
        taken.append(token[:-1] + character)
    assert taken == [token]


def test_keys_rotate_with_an_overlap() -> None:
    old, new = (SigningKey.of(Ed25519PrivateKey.generate()) for _ in range(2))
    before, both, after = KeyRing.of([old]), KeyRing.of([new, old]), KeyRing.of([new])
    made_before, made_during = mint_person(before, 1, 60, NOW_MS), mint_person(both, 2, 60, NOW_MS)
    assert read_own(both, made_before).person_id == 1
    assert read_own(after, made_during).person_id == 2
    with pytest.raises(BadToken):
        read_own(after, made_before)


@pytest.mark.parametrize(
    ("claim", "person_id"),
    [
        ("person:456", 456),
        ("456", 456),
        (456, 456),
        (2**63 - 1, 2**63 - 1),
        (str(2**63 - 1), 2**63 - 1),
        (2**63, None),
        (str(2**63), None),
        ("1" * 20, None),
        (True, None),
        (0, None),
        (-5, None),
        (4.0, None),
        ("person:", None),
        ("", None),
        ("0456", None),
        ("person:person:4", None),
        (None, None),
        (["456"], None),
    ],
)
def test_the_person_that_a_claim_names(claim: object, person_id: int | None) -> None:
    assert person_of(claim) == person_id


def test_what_a_revocation_hits() -> None:
    caller = Caller("person:456", 456, frozenset(), "jti", 10_000, issued_at_ms=500)
    assert caller.is_hit_by(Revocation(1, "jti", None, 100, 20_000))
    assert not caller.is_hit_by(Revocation(1, "other", None, 900, 20_000))
    assert caller.is_hit_by(Revocation(1, None, 456, 500, 20_000))
    assert not caller.is_hit_by(Revocation(1, None, 456, 499, 20_000))
    assert not caller.is_hit_by(Revocation(1, None, 457, 900, 20_000))
    service = Caller("service:x", None, frozenset({"admin"}), "s", 10_000, issued_at_ms=500)
    assert not service.is_hit_by(Revocation(1, None, 456, 900, 20_000))
