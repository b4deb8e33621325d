"""Encryption data and public keys: what is taken, and what is refused with which words."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mlkem, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol.encryption import ENCRYPTION_DATA, NEW_PUBLIC_KEY, KeyAlgorithm, fingerprint
from protocol.errors import ApiError
from protocol.validation import parse_json


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def raw(key: x25519.X25519PublicKey | x448.X448PublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def point(curve: ec.EllipticCurve, form: PublicFormat = PublicFormat.UncompressedPoint) -> bytes:
    return ec.generate_private_key(curve).public_key().public_bytes(Encoding.X962, form)


def rsa_der(bits: int) -> bytes:
    # A made-up odd modulus of the right length: the form is checked, making real primes would take seconds.
    modulus = int.from_bytes(os.urandom(bits // 8)) | (1 << (bits - 1)) | 1
    return (
        rsa.RSAPublicNumbers(65537, modulus).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )


KEYS: dict[str, Callable[[], bytes]] = {
    "x25519": lambda: raw(x25519.X25519PrivateKey.generate().public_key()),
    "x448": lambda: raw(x448.X448PrivateKey.generate().public_key()),
    "ed25519": lambda: raw(ed25519.Ed25519PrivateKey.generate().public_key()),
    "ed448": lambda: raw(ed448.Ed448PrivateKey.generate().public_key()),
    "p256": lambda: point(ec.SECP256R1()),
    "p384": lambda: point(ec.SECP384R1()),
    "p521": lambda: point(ec.SECP521R1()),
    "rsa-2048": lambda: rsa_der(2048),
    "rsa-3072": lambda: rsa_der(3072),
    "rsa-4096": lambda: rsa_der(4096),
    "x-wing": lambda: mlkem.MLKEM768PrivateKey.generate().public_key().public_bytes_raw() + raw_x25519(),
}


def put(**fields: object) -> object:
    return parse_json(NEW_PUBLIC_KEY, json.dumps(fields))


def test_every_algorithm_is_tried() -> None:
    assert set(KEYS) == set(KeyAlgorithm)


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_real_key_of_each_algorithm_is_taken(algorithm: str) -> None:
    put(public_key=text(KEYS[algorithm]()), algorithm=algorithm, device_id="phone")


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: bytes(len(data) + 1),
        lambda data: b"-----BEGIN PUBLIC KEY",
    ],
)
def test_another_form_is_refused_with_what_was_expected(algorithm: str, spoil: Callable[[bytes], bytes]) -> None:
    key = text(spoil(KEYS[algorithm]()))
    with pytest.raises(ApiError, match=r"'public_key': (should be base64 of|String should have)"):
        put(public_key=key, algorithm=algorithm)


def test_keys_of_another_algorithm_are_refused() -> None:
    refused = [
        ("p256", point(ec.SECP384R1())),
        ("rsa-4096", rsa_der(2048)),
        ("rsa-2048", raw_x25519()),
        ("x448", raw_x25519()),
    ]
    for algorithm, key in refused:
        with pytest.raises(ApiError, match="Invalid parameter: 'public_key'"):
            put(public_key=text(key), algorithm=algorithm)


def test_the_first_half_of_an_x_wing_key_is_a_key_of_ml_kem() -> None:
    with pytest.raises(ApiError, match=r"'public_key': should be base64 of 1,216 bytes"):
        put(public_key=text(b"\xff" * 1184 + raw_x25519()), algorithm="x-wing")


@pytest.mark.parametrize("statement", ["", "=", "not base64", "a" * 2_049, 1])
def test_a_statement_is_base64_of_limited_length(statement: object) -> None:
    with pytest.raises(ApiError, match="'statement'"):
        put(public_key=text(raw_x25519()), algorithm="x25519", statement=statement)
    put(public_key=text(raw_x25519()), algorithm="x25519", statement="A" * 2_048)


def raw_x25519() -> bytes:
    return KEYS["x25519"]()


def test_points_compressed_and_in_der_are_taken() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    for data in (
        key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ):
        put(public_key=text(data), algorithm="p256")


def test_a_point_off_the_curve_is_refused() -> None:
    with pytest.raises(ApiError):
        put(public_key=text(b"\x04" + b"\x01" * 64), algorithm="p256")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"algorithm": "x25519"}, "Missing required parameter: 'public_key'"),
        ({"public_key": "AAAA"}, "Missing required parameter: 'algorithm'"),
        ({"public_key": "AAAA", "algorithm": "dsa"}, "Invalid parameter: 'algorithm'"),
        ({"public_key": 7, "algorithm": "x25519"}, "Invalid parameter: 'public_key'"),
        ({"public_key": "A" * 2049, "algorithm": "x25519"}, "Invalid parameter: 'public_key'"),
        ({"public_key": "_-_-" * 11, "algorithm": "x25519"}, "Invalid parameter: 'public_key'"),
        ({"public_key": "ü", "algorithm": "x25519"}, "Invalid parameter: 'public_key'"),
        ({"public_key": "AAAA", "algorithm": "x25519", "secret": 1}, "Unknown parameter: 'secret'"),
        ({"public_key": "AAAA", "algorithm": "x25519", "device_id": ""}, "Invalid parameter: 'device_id'"),
        ({"public_key": "AAAA", "algorithm": "x25519", "device_id": "d" * 65}, "Invalid parameter: 'device_id'"),
        ({"public_key": "AAAA", "algorithm": "x25519", "device_id": "a\x00b"}, "Invalid parameter: 'device_id'"),
    ],
)
def test_the_first_fault_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        put(**fields)


def test_the_fingerprint_is_of_the_bytes() -> None:
    # SHA-256 of 32 zero bytes.
    assert fingerprint(text(bytes(32))) == "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"e2e_id": "x"}', "Missing required parameter: 'hash'"),
        ('{"hash": "x"}', "Missing required parameter: 'e2e_id'"),
        ('{"hash": "", "e2e_id": "x"}', "Invalid parameter: 'hash'"),
        ('{"hash": "x", "e2e_id": 7}', "Invalid parameter: 'e2e_id'"),
        ('{"hash": "x", "e2e_id": null}', "Invalid parameter: 'e2e_id'"),
        ('{"hash": "x", "e2e_id": "%s"}' % ("y" * 513), "Invalid parameter: 'e2e_id'"),
        ('{"hash": "x", "e2e_id": "y", "more": 1}', "Unknown parameter: 'more'"),
        ('{"hash": "a\\u0000", "e2e_id": "y"}', "Invalid parameter: 'hash'"),
        ("[]", "JSON object"),
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
    ],
)
def test_encryption_data_faults(body: str, message: str) -> None:
    with pytest.raises(ApiError, match=message):
        parse_json(ENCRYPTION_DATA, body)


def test_encryption_data_limits_are_inclusive() -> None:
    data = parse_json(ENCRYPTION_DATA, json.dumps({"hash": "h" * 512, "e2e_id": "é"}))
    assert (len(data.hash), data.e2e_id) == (512, "é")
