"""Sealed messages: end-to-end encryption between devices, as docs/encryption.md describes it. Needs `cryptography`.

Nobody outside the project has checked it.
"""

from buzz_client.encryption.errors import (
    KeysChanged,
    KeysInUse,
    LinkRefused,
    NoReaders,
    SealingRefused,
    TextTooLong,
    TooManyDevices,
)
from buzz_client.encryption.key_store import FileKeys, KeyStore, MemoryKeys, default_path
from buzz_client.encryption.linking_devices import LinkStart
from buzz_client.encryption.reasons import Reason
from buzz_client.encryption.sealed_messages import Me, SealedMessages
from buzz_client.encryption.trust import KnownDevice, KnownPerson, Standing

__all__ = [
    "FileKeys",
    "KeyStore",
    "KeysChanged",
    "KeysInUse",
    "KnownDevice",
    "KnownPerson",
    "LinkRefused",
    "LinkStart",
    "Me",
    "MemoryKeys",
    "NoReaders",
    "Reason",
    "SealedMessages",
    "SealingRefused",
    "Standing",
    "TextTooLong",
    "TooManyDevices",
    "default_path",
]
