"""What a websocket endpoint has to do with the bytes that it gets, case by case, in the classes of the Autobahn suite.

Each case says what is written, and what must come back: messages and pongs in order, and then the close code. The
numbers are those of the suite's classes (1 framing, 2 pings, 3 reserved bits, 4 opcodes, 5 fragmentation, 6 UTF-8, 7
closing, 10 automatic fragmentation); the cases are written anew, after RFC 6455. "0" is what the suite can't try: a
client that does not mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.harness.raw_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

PROTOCOL_ERROR, NORMAL = 1002, 1000
UNDECODABLE = 4400
"""Where RFC 6455 has 1007: docs/decisions/0006 says why."""
Answer = tuple[int, bytes]
"""A message's or pong's opcode and payload."""
GOODBYE = frame(CLOSE, NORMAL.to_bytes(2, "big"))


class Case(NamedTuple):
    """``sent`` goes out in pieces of ``piece`` bytes (0: at once). ``answers`` None: whatever came before."""

    name: str
    sent: bytes
    answers: Sequence[Answer] | None = ()
    code: int = NORMAL
    piece: int = 0


def cases() -> list[Case]:
    """All of them."""
    parts = (_unmasked, _framing, _pings, _reserved, _opcodes, _fragments, _interrupted, _utf8, _closing, _codes)
    return [case for part in parts for case in part()]


def _good(name: str, sent: bytes, *answers: Answer, piece: int = 0) -> Case:
    return Case(name, sent + GOODBYE, answers, piece=piece)


def _bad(name: str, sent: bytes, *answers: Answer, code: int = PROTOCOL_ERROR, piece: int = 0) -> Case:
    # What follows must have no effect any more.
    return Case(name, sent + frame(TEXT, b"after") + frame(PING, b"after"), answers, code, piece)


def _unmasked() -> Iterator[Case]:
    for piece in (0, 1, 3):
        for what, data in (
            ("text", frame(TEXT, b"x", masked=False)), ("empty", frame(TEXT, masked=False)),
            ("ping", frame(PING, b"x", masked=False)), ("close", frame(CLOSE, b"\x03\xe8", masked=False)),
            ("large", frame(BINARY, b"x" * 7_000, masked=False)),
        ):  # fmt: skip
            if piece == 0 or what != "large":
                yield _bad(f"0.1 unmasked {what}, pieces {piece}", data, piece=piece)
                good = frame(TEXT, b"good")
                # What came in one piece with it need not be answered.
                answers = [(TEXT, b"good")] if piece == 1 else None
                yield Case(f"0.2 a good one, then {what}, pieces {piece}", good + data, answers, PROTOCOL_ERROR, piece)
    parts = frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", masked=False)
    yield _bad("0.3 unmasked continuation", parts)


def _framing() -> Iterator[Case]:
    for group, opcode, byte in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for number, size in enumerate((0, 125, 126, 127, 128, 65_535, 65_536), 1):
            payload = byte * size
            yield _good(f"1.{group}.{number} {size} bytes", frame(opcode, payload), (opcode, payload))
        payload = byte * 65_536
        yield _good(f"1.{group}.8 in pieces", frame(opcode, payload), (opcode, payload), piece=997)


def _pings() -> Iterator[Case]:
    yield _good("2.1 ping without payload", frame(PING), (PONG, b""))
    yield _good("2.2 ping with text", frame(PING, b"Hello"), (PONG, b"Hello"))
    yield _good("2.3 ping with bytes", frame(PING, bytes(range(248, 256))), (PONG, bytes(range(248, 256))))
    yield _good("2.4 ping of 125", frame(PING, b"\xfe" * 125), (PONG, b"\xfe" * 125))
    yield _bad("2.5 ping of 126", frame(PING, b"\xfe" * 126))
    yield _good("2.6 ping byte by byte", frame(PING, b"\xfe" * 125), (PONG, b"\xfe" * 125), piece=1)
    yield _good("2.7 pong that nobody asked for", frame(PONG))
    yield _good("2.8 the same with payload", frame(PONG, b"unsolicited"))
    yield _good("2.9 the same, then a ping", frame(PONG, b"unsolicited") + frame(PING, b"x"), (PONG, b"x"))
    ten = [b"%d" % number for number in range(10)]
    answers = [(PONG, payload) for payload in ten]
    yield _good("2.10 ten pings", b"".join(frame(PING, payload) for payload in ten), *answers)
    yield _good("2.11 ten pings byte by byte", b"".join(frame(PING, payload) for payload in ten), *answers, piece=1)


def _reserved() -> Iterator[Case]:
    for number, bits in enumerate((0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70), 1):
        good = frame(TEXT, b"good")
        yield _bad(f"3.{number} reserved bits {bits:#x}", good + frame(TEXT, b"x", reserved=bits), (TEXT, b"good"))
        yield _bad(f"3.{number} the same byte by byte", frame(BINARY, b"x", reserved=bits), piece=1)
        yield _bad(f"3.{number} in a ping", frame(PING, b"x", reserved=bits))
        yield _bad(f"3.{number} in a close", frame(CLOSE, b"\x03\xe8", reserved=bits))


def _opcodes() -> Iterator[Case]:
    for group, opcodes in ((1, range(3, 8)), (2, range(11, 16))):
        for number, opcode in enumerate(opcodes, 1):
            yield _bad(f"4.{group}.{number} opcode {opcode}", frame(opcode))
            sent = frame(TEXT, b"good") + frame(opcode, b"payload")
            yield _bad(f"4.{group}.{number} the same with payload", sent, (TEXT, b"good"), piece=1)


def _fragments() -> Iterator[Case]:
    yield _bad("5.1 ping in two", frame(PING, b"a", fin=False) + frame(CONTINUATION, b"b"))
    yield _bad("5.2 pong in two", frame(PONG, b"a", fin=False) + frame(CONTINUATION, b"b"))
    two = frame(TEXT, b"frag", fin=False) + frame(CONTINUATION, b"ment")
    between = frame(TEXT, b"frag", fin=False) + frame(PING, b"x") + frame(CONTINUATION, b"ment")
    for number, piece in ((3, 0), (4, 10), (5, 1)):
        yield _good(f"5.{number} text in two", two, (TEXT, b"fragment"), piece=piece)
        yield _good(f"5.{number + 3} a ping between", between, (PONG, b"x"), (TEXT, b"fragment"), piece=piece)
        for offset, fin in ((0, True), (3, False)):
            orphan = frame(CONTINUATION, b"x", fin=fin)
            yield _bad(f"5.{9 + offset + number - 3} nothing to continue", orphan, piece=piece)
    yield _bad("5.15 continuation after the end", two + frame(CONTINUATION, b"x", fin=False), (TEXT, b"fragment"))
    yield _bad("5.16 continuation, then text", frame(CONTINUATION, b"x", fin=False) + frame(TEXT, b"y"))
    yield _bad("5.17 the same with its end", frame(CONTINUATION, b"x") + frame(TEXT, b"y"))
    yield _bad("5.18 a message within a message", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"))
    many = [frame(TEXT, b"0", fin=False), *(frame(CONTINUATION, b"%d" % n, fin=n == 9) for n in range(1, 10))]
    for number, piece in ((19, 0), (20, 1)):
        sent = b"".join(part + frame(PING, b"p") for part in many[:-1]) + many[-1]
        pongs = [(PONG, b"p")] * 9
        yield _good(f"5.{number} ten parts, nine pings", sent, *pongs, (TEXT, b"0123456789"), piece=piece)
    payload = b"*" * 65_536
    cut = [payload[start : start + 1_300] for start in range(0, len(payload), 1_300)]
    yield _good("10.1.1 64 KiB in frames of 1,300", _in_parts(TEXT, cut), (TEXT, payload))


def _interrupted() -> Iterator[Case]:
    empty = frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False)
    yield _good("6.1.1 empty", frame(TEXT), (TEXT, b""))
    yield _good("6.1.2 three empty parts", empty + frame(CONTINUATION), (TEXT, b""))
    yield _good(
        "6.1.3 the middle not empty", empty + frame(CONTINUATION, b"x", fin=False) + frame(CONTINUATION), (TEXT, b"x")
    )
    half = frame(TEXT, b"never ended", fin=False)
    yield Case("7.1.3 a message that a close cuts off", half + GOODBYE)


def _in_parts(opcode: int, parts: Sequence[bytes]) -> bytes:
    frames = [frame(CONTINUATION if n else opcode, part, fin=n == len(parts) - 1) for n, part in enumerate(parts)]
    return b"".join(frames)


VALID = (
    "Hello-µ@ßöäüàá-UTF-8!!".encode(), "κόσμε".encode(), b"\x00", b"\x7f", b"\xc2\x80", b"\xdf\xbf", b"\xe0\xa0\x80",
    b"\xef\xbf\xbf", b"\xf0\x90\x80\x80", b"\xf4\x8f\xbf\xbf", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd",
    b"\xef\xbf\xbe", b"\xf0\x9f\xbf\xbf", b"\xf3\xbf\xbf\xbe",
)  # fmt: skip
INVALID = (
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf",
    b"\xf4\x90\x80\x80", b"\x80", b"\xbf", b"\x80\xbf", b"\x80\xbf\x80", bytes(range(0x80, 0xC0)),
    b"\xc0 \xc1 \xc2 ", b"\xe0 \xe1 ", b"\xf0 \xf1 ", b"\xf8 \xf9 ", b"\xfc \xfd ", b"\xc0", b"\xe0\x80",
    b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfe", b"\xff", b"\xfe\xfe\xff\xff",
    b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80",
)  # fmt: skip


def _utf8() -> Iterator[Case]:
    for number, text in enumerate(VALID, 1):
        yield _good(f"6.2.{number} {text!r}", frame(TEXT, text), (TEXT, text))
        cut = [text[at : at + 1] for at in range(len(text))]
        yield _good(f"6.2.{number} a frame a byte", _in_parts(TEXT, cut), (TEXT, text))
        yield _good(f"6.2.{number} byte by byte", frame(TEXT, text), (TEXT, text), piece=1)
    for number, text in enumerate(INVALID, 1):
        yield _bad(f"6.3.{number} {text!r}", frame(TEXT, text), code=UNDECODABLE)
        cut = [text[at : at + 1] for at in range(len(text))]
        yield _bad(f"6.3.{number} a frame a byte", _in_parts(TEXT, cut), code=UNDECODABLE)
        yield _good(f"6.3.{number} in a binary message", frame(BINARY, text), (BINARY, text))


def _closing() -> Iterator[Case]:
    good, answer = frame(TEXT, b"good"), (TEXT, b"good")
    yield Case("7.1.1 close", good + GOODBYE, (answer,))
    yield Case("7.1.2 twice", GOODBYE * 2)
    yield Case("7.1.4 then a text", GOODBYE + frame(TEXT, b"after"))
    yield Case("7.1.5 then a continuation", frame(TEXT, b"a", fin=False) + GOODBYE + frame(CONTINUATION, b"b"))
    yield Case("7.1.6 then a ping", good + GOODBYE + frame(PING, b"after"), (answer,))
    yield Case("7.3.1 without a code", frame(CLOSE))
    yield _bad("7.3.2 one byte", frame(CLOSE, b"a"))
    yield Case("7.3.4 with a reason", frame(CLOSE, b"\x03\xe8Hello World!"))
    yield Case("7.3.5 the longest reason", frame(CLOSE, b"\x03\xe8" + b"*" * 123))
    yield _bad("7.3.6 one byte too many", frame(CLOSE, b"\x03\xe8" + b"*" * 124))
    yield _bad("7.5.1 a reason that is not UTF-8", frame(CLOSE, b"\x03\xe8\xce\xba\xed\xa0\x80"), code=1007)
    yield _bad("7.6.1 fragmented", frame(CLOSE, b"\x03\xe8", fin=False))


def _codes() -> Iterator[Case]:
    valid = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for number, code in enumerate(valid, 1):
        # We answer with the code that says how the connection ended for us.
        yield Case(f"7.7.{number} {code}", frame(CLOSE, code.to_bytes(2, "big")), code=1001 if code == 1001 else NORMAL)
    for number, code in enumerate((0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999), 1):
        yield _bad(f"7.9.{number} {code}", frame(CLOSE, code.to_bytes(2, "big")))
    for number, code in enumerate((5_000, 65_535), 1):  # RFC 6455 says nothing of these
        yield Case(f"7.13.{number} {code}", frame(CLOSE, code.to_bytes(2, "big")))
