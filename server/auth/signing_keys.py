"""Buzz's own signing keys, in one file: the first key signs, every key verifies.

Rotation puts a new key first; the older ones stay after it, so that their tokens stay valid until they expire or the
old keys are removed. Ed25519 in PKCS#8 PEM (RFC 8410), readable by its owner alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

FILE_NAME: Final = "signing-key.pem"
DEVELOPMENT_MARK: Final = "Made in development mode: production does not start with this key."
MAX_KEYS: Final = 4
"""The signing key and what is left of the last three rotations."""

_PEM: Final = re.compile(rb"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----", re.DOTALL)


class KeyFileError(Exception):
    """The key file can't be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key. ``header`` is the first segment of every token that it signs, and identifies the token's key.

    ``public`` is the raw public key, 32 bytes.
    """

    private: Ed25519PrivateKey
    public: bytes
    kid: str
    header: str

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> SigningKey:
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        digest = hashlib.sha256(public).digest()
        kid = encode_segment(digest)[:16]
        header = encode_segment(f'{{"alg":"EdDSA","kid":"{kid}","typ":"JWT"}}'.encode())
        return cls(private, public, kid, header)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one file: ``signing``, the first, and all of them by the header segment of their tokens."""

    signing: SigningKey
    by_header: dict[str, SigningKey]
    development: bool = False

    @classmethod
    def of(cls, keys: Sequence[SigningKey], development: bool = False) -> KeyRing:
        return cls(keys[0], {key.header: key for key in keys}, development)


def encode_segment(data: bytes) -> str:
    """Encode base64url without padding, as in a JWT (RFC 7515, section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def load_or_create(path: Path, *, development: bool = False) -> KeyRing:
    """Load the keys of the file, which is created at the first start. Raises KeyFileError."""
    if not path.exists():
        _create(path, _as_pem([Ed25519PrivateKey.generate()], development))
    return load(path)


def load(path: Path) -> KeyRing:
    """Load the keys of the file. Raises KeyFileError if it can't be read or has anything but Ed25519 keys."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"The signing key {path} can't be read: {error.strerror}.") from error
    return KeyRing.of(
        [SigningKey.of(key) for key in _private_keys(text, path)], development=DEVELOPMENT_MARK.encode() in text
    )


def rotate(path: Path, *, forget_old: bool = False) -> KeyRing:
    """Put a new key first. ``forget_old`` removes the others: every token signed until now becomes invalid."""
    ring = load(path)
    old = [] if forget_old else [key.private for key in ring.by_header.values()][: MAX_KEYS - 1]
    _replace(path, _as_pem([Ed25519PrivateKey.generate(), *old], ring.development))
    return load(path)


def is_exposed(path: Path) -> bool:
    """Return whether others may use the file: see :func:`gives_others`."""
    status = path.stat()
    return gives_others(status.st_mode, owned_by_root=status.st_uid == 0, is_root=os.geteuid() == 0)


def gives_others(mode: int, *, owned_by_root: bool, is_root: bool) -> bool:
    """Return whether a file's mode gives anybody but its owner a permission that a key file must not give.

    A process that is not root can read a file of root only by its group, which is how Kubernetes and systemd hand over
    a secret. So the group may read it then, as in PostgreSQL's rule for its key file.
    """
    group_reads = stat.S_IRGRP if owned_by_root and not is_root else 0
    return bool(stat.S_IMODE(mode) & 0o077 & ~group_reads)


def _private_keys(text: bytes, path: Path) -> list[Ed25519PrivateKey]:
    keys = []
    for block in _PEM.findall(text):
        try:
            key = load_pem_private_key(block, password=None)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyFileError(
                f"The signing key {path} is damaged: restore it from a backup, or move it away."
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(
                f"The signing key {path} contains a key that is not an Ed25519 key: Buzz signs only with EdDSA."
            )
        keys.append(key)
    if not keys:
        raise KeyFileError(
            f"The signing key {path} contains no unencrypted PEM private key: move it away to get a new one."
        )
    return keys


def _as_pem(keys: Sequence[Ed25519PrivateKey], development: bool) -> bytes:
    head = f"{DEVELOPMENT_MARK}\n".encode() if development else b""
    return head + b"".join(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys)


def _create(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _write_beside(path, text)
    try:
        # A link never replaces a file: if two processes start at once, both then read the key that was first.
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise KeyFileError(f"The signing key {path} can't be made: {error.strerror}.") from error
    finally:
        temporary.unlink()
    _sync_folder(path.parent)


def _replace(path: Path, text: bytes) -> None:
    _write_beside(path, text).replace(path)
    _sync_folder(path.parent)


def _write_beside(path: Path, text: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise KeyFileError(f"The signing key {path} can't be written: {error.strerror}.") from error
    with os.fdopen(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
