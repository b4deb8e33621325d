"""Writes ``multipart/form-data`` (RFC 7578): the body as bytes, because the body is signed before it is sent."""

from __future__ import annotations

from collections.abc import Iterable


def content_type(boundary: str) -> str:
    """Return the Content-Type of a body with this boundary."""
    return f"multipart/form-data; boundary={boundary}"


def encode(fields: Iterable[tuple[str, str]], boundary: str) -> bytes:
    """Encode one part for each field, values as UTF-8. The boundary must be random, so that no value contains it."""
    parts = [_part(name, value, boundary) for name, value in fields]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def _part(name: str, value: str, boundary: str) -> bytes:
    # RFC 7578 leaves quoting to HTML's rules: https://html.spec.whatwg.org/#multipart-form-data
    quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{quoted}"\r\n\r\n'
    return head.encode() + value.encode() + b"\r\n"
