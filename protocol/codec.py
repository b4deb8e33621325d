"""The two subprotocols: frames to bytes and back. Both carry the same fields.

An activity is encoded at most once per codec (:meth:`Codec.activity`); a frame with several is those bytes joined, and
a websocket frame (RFC 6455, section 5.2; a server never masks it) is a header before them.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NoReturn, Protocol

import msgpack
import msgspec

from protocol.activity import MODEL_NAMES, Activity, ActivityType, ActivityTypeName, ModelName, PartyType, rfc3339
from protocol.answers import ActivityAnswer
from protocol.errors import ApiError, ErrorCode
from protocol.frame_reader import BINARY, TEXT
from protocol.frames import CLIENT_FRAMES, ClientFrame, ServerFrame
from protocol.validation import describe_struct

_EXACT = 2.0**53
_CLIENT_TYPES = [str(each.__struct_config__.tag) for each in CLIENT_FRAMES]
_PERSON: ModelName = MODEL_NAMES[PartyType.PERSON]
_COMPANY: ModelName = MODEL_NAMES[PartyType.COMPANY]
_TYPE_NAMES: tuple[ActivityTypeName, ...] = tuple(kind.name for kind in ActivityType)  # type: ignore[misc]


class Undecodable(Exception):
    """The bytes are not valid in the subprotocol: the socket is closed with 4400."""


class BadFrame(ApiError):
    """The frame was decoded and refused. ``ref`` is the frame's own, if it can be returned."""

    def __init__(self, message: str, ref: object = None) -> None:
        super().__init__(ErrorCode.BAD_FRAME, message)
        self.ref = _usable(ref)


class EncodedName(Protocol):
    """A party's ``sendable``/``receivable`` object, encoded once for each subprotocol."""

    @property
    def json(self) -> msgspec.Raw: ...

    @property
    def msgpack(self) -> msgspec.Raw: ...


def _usable(ref: object) -> str | int | None:
    if isinstance(ref, str):
        # JSON's escapes can contain half of a surrogate pair, which cannot be encoded in our frames.
        return ref if len(ref) <= 64 and ref.encode(errors="replace").decode() == ref else None
    fits = isinstance(ref, int) and not isinstance(ref, bool) and -(2**63) <= ref < 2**63
    return ref if fits else None  # type: ignore[return-value]


class Codec(ABC):
    """The operations of both subprotocols, each in its own encoding. Stateless; one instance of each is shared."""

    name: str
    binary: bool
    opcode: int
    """Of its messages, in websocket frames."""
    _first_byte: int
    _encoder: msgspec.json.Encoder | msgspec.msgpack.Encoder

    def __init__(self) -> None:
        self._short_headers = [bytes((self._first_byte, size)) for size in range(126)]

    @abstractmethod
    def decode(self, data: bytes) -> ClientFrame:
        """Decode a client's frame. Raises Undecodable, or BadFrame for a decoded frame that is not valid."""

    @abstractmethod
    def encode(self, frame: ServerFrame) -> bytes:
        """Return the payload of a server's frame."""

    @abstractmethod
    def activity(self, activity: Activity, sender: EncodedName, receiver: EncodedName) -> bytes:
        """Return one activity's bytes, to be joined by :meth:`activities`."""

    @abstractmethod
    def activities(self, encoded: Sequence[bytes]) -> bytes:
        """Return the payload of an ``activities`` frame with these activities."""

    def websocket(self, payload: bytes) -> bytes:
        """Return the payload as one unfragmented, unmasked websocket frame."""
        size = len(payload)
        if size < 126:
            return self._short_headers[size] + payload
        if size < 65_536:
            header = bytes((self._first_byte, 126, size >> 8, size & 0xFF))
        else:
            header = bytes((self._first_byte, 127)) + size.to_bytes(8, "big")
        return header + payload

    def frame(self, frame: ServerFrame) -> bytes:
        """Return a server's frame, ready for the socket."""
        payload = self._encoder.encode(frame)
        # As websocket() does, without a call: every send is answered by a short frame.
        return self._short_headers[len(payload)] + payload if len(payload) < 126 else self.websocket(payload)


class JsonCodec(Codec):
    """``buzz.v1.json``: text frames, JSON objects."""

    name = "buzz.v1.json"
    binary = False
    opcode = TEXT
    _first_byte = 0x80 | TEXT

    def __init__(self) -> None:
        super().__init__()
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)

    def decode(self, data: bytes) -> ClientFrame:
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _refuse(error, _loads_json(data))

    def encode(self, frame: ServerFrame) -> bytes:
        return self._encoder.encode(frame)

    def activity(self, activity: Activity, sender: EncodedName, receiver: EncodedName) -> bytes:
        return self._encoder.encode(_wire(activity, sender.json, receiver.json))

    def activities(self, encoded: Sequence[bytes]) -> bytes:
        return b'{"type":"activities","activities":[' + b",".join(encoded) + b"]}"


class MsgpackCodec(Codec):
    """``buzz.v1.msgpack``: binary frames, msgpack maps."""

    name = "buzz.v1.msgpack"
    binary = True
    opcode = BINARY
    _first_byte = 0x80 | BINARY

    def __init__(self) -> None:
        super().__init__()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[ClientFrame] = msgspec.msgpack.Decoder(ClientFrame)
        names = (self._encoder.encode(name) for name in ("type", "activities", "activities"))
        self._head = b"\x82" + b"".join(names)

    def decode(self, data: bytes) -> ClientFrame:
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            value = _loads_msgpack(data)
            if isinstance(error, msgspec.ValidationError):
                return _with_whole_numbers(value)
            _refuse(error, value)

    def encode(self, frame: ServerFrame) -> bytes:
        return self._encoder.encode(frame)

    def activity(self, activity: Activity, sender: EncodedName, receiver: EncodedName) -> bytes:
        return self._encoder.encode(_wire(activity, sender.msgpack, receiver.msgpack))

    def activities(self, encoded: Sequence[bytes]) -> bytes:
        count = len(encoded)
        array = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
        return self._head + array + b"".join(encoded)


JSON = JsonCodec()
MSGPACK = MsgpackCodec()
CODECS: dict[str, Codec] = {MSGPACK.name: MSGPACK, JSON.name: JSON}
"""By subprotocol name, the preferred one first."""


def _wire(activity: Activity, sender: msgspec.Raw, receiver: msgspec.Raw) -> ActivityAnswer:
    to, by = activity.receiver, activity.sender
    return ActivityAnswer(
        activity.id,
        _TYPE_NAMES[activity.type],
        _PERSON if to > 0 else _COMPANY,
        abs(to),
        _PERSON if by > 0 else _COMPANY,
        abs(by),
        activity.call_time,
        activity.message,
        activity.message_id,
        rfc3339(activity.created_at_ms),
        sender,
        receiver,
    )


def _with_whole_numbers(value: object) -> ClientFrame:
    """Decode an invalid frame again, with whole numbers that were packed as floats read as integers.

    JavaScript has one type of number, and msgpackr packs an integer beyond 32 bits as a float64: without this, its
    clients would work until the log's ids pass 2^32. Only floats up to 2^53 are exact, so only they are taken. Raises
    BadFrame if the frame is still not valid.
    """
    try:
        frame: ClientFrame = msgspec.convert(_whole(value), ClientFrame)
    except (msgspec.ValidationError, RecursionError) as error:
        _refuse(error, value)
    return frame


def _whole(value: object) -> object:
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    return value


def _refuse(error: Exception, value: object) -> NoReturn:
    """Raise BadFrame that says what is wrong with a decoded but invalid frame (``value``)."""
    if not isinstance(value, dict):
        raise BadFrame("A frame should be a map with a 'type'.") from None
    ref = value.get("ref")
    if not isinstance(error, msgspec.ValidationError):
        # Values that only the lenient decoder accepts: NaN, mostly.
        raise BadFrame(f"The frame is not well formed: {error}", ref) from None
    sentence = describe_struct(error, ClientFrame)
    if sentence.startswith("Invalid parameter: 'ref'"):
        sentence = "Invalid parameter: 'ref': should be a string of at most 64 characters or an integer of 63 bits"
    elif sentence.startswith("Invalid parameter: 'type'"):
        sentence = f"Unknown type: expected one of {', '.join(_CLIENT_TYPES)}"
    raise BadFrame(sentence, ref) from None


def _loads_json(data: bytes) -> object:
    try:
        return json.loads(data.decode(), parse_int=_number)
    except RecursionError:
        raise BadFrame("A frame should not be nested that deep.") from None
    except ValueError as error:
        raise Undecodable("not JSON") from error


def _number(digits: str) -> int | str:
    # Python refuses to parse a number of thousands of digits; its value does not matter, as no field accepts it.
    return int(digits) if len(digits) <= 64 else digits[:64]


class Extension:
    """A value of an extension type of msgpack, which no field accepts. msgpack's own is a tuple, so like an array."""


def _loads_msgpack(data: bytes) -> object:
    try:
        return msgpack.unpackb(data, strict_map_key=False, ext_hook=lambda _code, _data: Extension())
    except msgpack.StackError:
        raise BadFrame("A frame should not be nested that deep.") from None
    except TypeError:
        raise BadFrame("A frame's keys should be strings.") from None
    except Exception as error:
        raise Undecodable("not msgpack") from error
