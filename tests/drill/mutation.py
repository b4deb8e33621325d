"""Values and bytes that are good ones with something changed, or anything at all. The same seed gives the same ones."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 1.5, float("inf"), "", "\x00", "é" * 64,
    "\ud800", "x" * 65_537, [], {}, [[[]]], {"type": "ping"}, "person", "hello", "+12025550101", "2020-02-30",
)  # fmt: skip


def changed(chance: random.Random, value: Mapping[str, Any], most: int = 2) -> dict[str, Any]:
    """A copy with up to ``most`` of its fields, at any depth, gone, odd, or new."""
    copy = dict(value)
    for _ in range(chance.randrange(most + 1)):
        name = chance.choice([*copy, "extra", ""])
        if chance.random() < 0.3:
            copy.pop(name, None)
        elif isinstance(copy.get(name), dict) and chance.random() < 0.7:
            copy[name] = changed(chance, copy[name], most)
        else:
            copy[name] = chance.choice(ODD)
    return copy


def damaged(chance: random.Random, data: bytes) -> bytes:
    """Some bytes changed, put in, taken out, or repeated; now and then nothing is left of it."""
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(200))
    found = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(found) + 1)
        way = chance.randrange(4)
        if way == 0 and found:
            found[at % len(found)] = chance.randrange(256)
        elif way == 1:
            found[at:at] = chance.randbytes(chance.randrange(1, 9))
        elif way == 2:
            del found[at : at + chance.randrange(1, 9)]
        else:
            found[at:at] = found[: chance.randrange(40)]
    return bytes(found)
