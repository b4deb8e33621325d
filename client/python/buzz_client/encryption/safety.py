"""The safety number of two people: if both see the same 60 digits, the server has swapped no key."""

from __future__ import annotations

import hashlib

from buzz_client.encryption.encoding import framed

_ROUNDS = 5_200
_GROUP_BYTES = 5


def safety_number(one: tuple[int, bytes], other: tuple[int, bytes]) -> str:
    """Return 12 groups of five digits, the same on both sides, for two people: (id, root identity) each."""
    digits = "".join(_digits(*person) for person in sorted((one, other)))
    return " ".join(digits[start : start + 5] for start in range(0, len(digits), 5))


def _digits(person_id: int, root: bytes) -> str:
    digest = hashlib.sha512(framed("buzz safety v1", person_id, root)).digest()
    for _ in range(_ROUNDS - 1):
        digest = hashlib.sha512(digest + root).digest()
    groups = (digest[start : start + _GROUP_BYTES] for start in range(0, 6 * _GROUP_BYTES, _GROUP_BYTES))
    return "".join(f"{int.from_bytes(group, 'big') % 100_000:05}" for group in groups)
