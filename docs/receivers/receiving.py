"""Checks the two signatures of Buzz's events, nests a form's fields, and stores events: for the receivers in Python."""

import base64
import hashlib
import hmac
import json
import os
import re
import time

TOLERANCE_SECONDS = 300


def is_from_buzz(signature: dict, api_key: str) -> bool:
    """Return whether the event's own signature is right. It says who sent the event, and when."""
    message = signature["timestamp"] + signature["random_token"]
    expected = hmac.new(api_key.encode(), message.encode(), hashlib.sha256).hexdigest()
    is_recent = abs(time.time() - int(signature["timestamp"]) / 1000) < TOLERANCE_SECONDS
    return is_recent and hmac.compare_digest(expected, signature["signature"])


def body_is_whole(headers, body: bytes, secret: str) -> bool:
    """Return whether the Standard Webhooks headers sign this body. ``secret`` is the endpoint's: whsec_…"""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split())


def nested(fields) -> dict:
    """Return ``{"service_code": {"code": "57"}}`` for the form field ``service_code[code]=57``."""
    event: dict = {}
    for name, value in fields:
        *path, last = re.findall(r"[^\[\]]+", name)
        target = event
        for key in path:
            target = target.setdefault(key, {})
        target[last] = value
    return event


def store(event: dict) -> None:
    """Store the event before Buzz is answered 200: it is not sent again after that."""
    with open(os.environ["EVENTS_FILE"], "a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")
        file.flush()
        os.fsync(file.fileno())
