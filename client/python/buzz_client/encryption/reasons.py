"""Why a message could not be opened."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a message could not be opened. `explanation` says it in words for people."""

    NOT_SEALED = "not_sealed"
    NEWER_VERSION = "newer_version"
    DAMAGED = "damaged"
    UNKNOWN_DEVICE = "unknown_device"
    UNTRUSTED_DEVICE = "untrusted_device"
    REMOVED_DEVICE = "removed_device"
    BAD_SIGNATURE = "bad_signature"
    NOT_FOR_THIS_DEVICE = "not_for_this_device"
    KEY_GONE = "key_gone"
    REPEATED = "repeated"
    TOO_FAR_AHEAD = "too_far_ahead"

    @property
    def explanation(self) -> str:
        """The reason in words for people."""
        return _WORDS[self]


_WORDS = {
    Reason.NOT_SEALED: "it is not encrypted, or not by this method",
    Reason.NEWER_VERSION: "it was sealed by a newer version of this software",
    Reason.DAMAGED: "it is damaged",
    Reason.UNKNOWN_DEVICE: "it is not signed by a known device of its sender",
    Reason.UNTRUSTED_DEVICE: "it is from a device that has not been accepted yet",
    Reason.REMOVED_DEVICE: "it is from a device that its owner had removed",
    Reason.BAD_SIGNATURE: "its signature is wrong: somebody changed it, or moved it from another place",
    Reason.NOT_FOR_THIS_DEVICE: "it was sent before this device was added, or not to this device",
    Reason.KEY_GONE: "this device no longer has the key, or somebody damaged the message",
    Reason.REPEATED: "this device has opened it before and deleted its key",
    Reason.TOO_FAR_AHEAD: "more than 2,000 messages before it are missing",
}
