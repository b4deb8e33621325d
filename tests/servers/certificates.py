"""Certificates for servers of the tests, as files that another user may read as well."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import trustme


class Certificate(NamedTuple):
    """The files of one certificate: itself, its key, and the authority that signed it."""

    certificate: Path
    key: Path
    authority: Path


def certificate(folder: Path, authority: trustme.CA, *names: str) -> Certificate:
    """Write a certificate for these host names. ``folder`` is created, and readable for everybody."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    files = Certificate(folder / "certificate.pem", folder / "key.pem", folder / "authority.pem")
    issued = authority.issue_cert(*names)
    files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(files.key))
    authority.cert_pem.write_to_path(str(files.authority))
    for file in files:
        os.chmod(file, 0o644)
    return files
